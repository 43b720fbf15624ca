// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Settings of the programs from several places: a flag wins over the environment (GANTRY_BATCH for
// --batch), that over the file of --config, that over the default. So does a flag over another one
// that it excludes.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

/// A setting that is no default.
struct setting {
  std::string name;  ///< of the flag, without its dashes
  std::vector<std::string> values;
  std::string from;  ///< "the command line", a variable or a file
};

/// Adds --config.
void add_config_flag(CLI::App& app);

/// For programs whose settings must not follow from those of others: --batch is prefix + "BATCH" in
/// the environment.
void use_variables(CLI::App& app, const std::string& prefix);

/// Parses the command line and, behind it, the environment and the file. Options count as given
/// wherever they come from. Where the first word is a command, all settings are that command's.
/// @returns what was given, in the order of the options
/// @throws CLI::ParseError for the command line, gantry::usage_error for the other two and for
/// flags and commands that nobody knows, gantry::data_error for a file that cannot be read
std::vector<setting> parse_layers(CLI::App& app, int argc, const char* const* argv);

/// The same for programs whose --help is all the explanation there is. @returns nothing if help or
/// the version was printed. @throws gantry::usage_error
std::optional<std::vector<setting>> parse_or_print_help(CLI::App& app, int argc,
                                                        const char* const* argv,
                                                        const std::string& program);

/// "batch = 32 (GANTRY_BATCH)"
std::string described(const setting& s);

/// A file for --config: what was given, the other options as comments. Those in `left_out` say what
/// a program does once rather than how.
std::string config_text(const CLI::App& app, const std::vector<setting>& given,
                        const std::vector<std::string>& left_out);
