// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string_view>

#include <CLI/CLI.hpp>

#include "gantry/base/error.hpp"
#include "gantry/io/file.hpp"

#include "config_file.hpp"
#include "settings.hpp"

namespace {

using gantry::usage_error;

std::string name_of(const CLI::Option& option) {
  return option.get_lnames().empty() ? option.get_snames().front() : option.get_lnames().front();
}

std::string variable_of(const std::string& prefix, std::string name) {
  std::ranges::transform(name, name.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(c));
  });
  return prefix + name;
}

/// Options that files and the environment can set.
std::vector<const CLI::Option*> settable(const CLI::App& app) {
  std::vector<const CLI::Option*> options = app.get_options();
  std::erase_if(options, [](const CLI::Option* o) {
    const std::string name = name_of(*o);
    return name == "help" || name == "version" || name == "config";
  });
  return options;
}

/// An option that means something else than another program's of its name says which it is.
std::string variable_of(const CLI::Option& option) {
  if (!option.get_envname().empty()) return option.get_envname();
  return variable_of("GANTRY_", name_of(option));
}

/// The value of a variable; one that is empty is not set.
std::optional<std::string> variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value && *value != '\0' ? std::optional<std::string>(value) : std::nullopt;
}

bool is_flag(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

/// Whether a word of the command line names this option.
bool names(std::string_view word, const CLI::Option& option) {
  if (word.starts_with("--"))
    return option.check_lname(std::string(word.substr(2, word.find('=') - 2)));
  return word.size() > 1 && word.front() == '-' && option.check_sname(std::string(1, word[1]));
}

/// A value may look like a number below zero.
bool is_dashed(std::string_view word) {
  return word.size() > 1 && word.front() == '-' && (word[1] < '0' || word[1] > '9');
}

const CLI::Option* named(std::string_view word, const CLI::App& app) {
  const auto options = app.get_options();
  const auto at =
      std::ranges::find_if(options, [&](const CLI::Option* o) { return names(word, *o); });
  return at == options.end() ? nullptr : *at;
}

/// Words of the command line that stand for themselves, neither flag nor value of one.
std::size_t operands(const std::vector<std::string>& words, const CLI::App& app) {
  std::size_t count = 0;
  int values = 0;  // that the flag before may still take
  for (const std::string& word : words) {
    if (is_dashed(word)) {
      const CLI::Option* option = named(word, app);
      values = option && word.find('=') == word.npos ? option->get_items_expected_max() : 0;
    } else if (values > 0) {
      --values;
    } else {
      ++count;
    }
  }
  return count;
}

/// What the command line sets, by name or by place.
std::vector<const CLI::Option*> given_options(const std::vector<std::string>& words,
                                              const CLI::App& app) {
  std::vector<const CLI::Option*> given;
  std::size_t left = operands(words, app);
  for (const CLI::Option* o : settable(app))
    if (std::ranges::any_of(words, [&](const std::string& w) { return names(w, *o); }))
      given.push_back(o);
    else if (o->get_positional() && left > 0) {
      given.push_back(o);
      --left;
    }
  return given;
}

/// The command that the first word names, or the whole program.
CLI::App& chosen(CLI::App& app, const std::vector<std::string>& words) {
  for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!words.empty() && command->get_name() == words.front()) return *command;
  return app;
}

/// @throws usage_error for the first word that is neither flag nor command, with the nearest that
/// there is
void require_known(const CLI::App& app, const CLI::App& scope,
                   const std::vector<std::string>& words) {
  const auto refuse = [&](const std::string& word, const std::string& near) {
    throw usage_error(
        word + " is not known; " +
        (near.empty() ? app.get_name() + " --help lists what is" : "did you mean " + near + "?"));
  };
  const auto commands = app.get_subcommands([](const CLI::App*) { return true; });
  if (&app == &scope && !commands.empty() && !words.empty() && !is_dashed(words.front())) {
    std::vector<std::string> known;
    for (const CLI::App* command : commands) known.push_back(command->get_name());
    refuse(words.front(), near_match(words.front(), known));
  }
  std::vector<std::string> known;
  for (const CLI::Option* o : scope.get_options())
    for (const std::string& name : o->get_lnames()) known.push_back(name);
  for (const std::string& word : words) {
    if (word == "--") return;
    if (!is_dashed(word) || named(word, scope)) continue;
    const std::string flag = word.substr(0, word.find('='));
    const std::string near =
        near_match(flag.substr(std::min(flag.find_first_not_of('-'), flag.size())), known);
    refuse(flag, near.empty() ? "" : "--" + near);
  }
}

/// The words of the command line that say the same as values from elsewhere.
void append(std::vector<std::string>& words, const CLI::Option& option, const setting& s) {
  const std::string flag = (option.get_lnames().empty() ? "-" : "--") + name_of(option);
  if (option.get_items_expected_max() > 1) {
    words.push_back(flag);
    words.insert(words.end(), s.values.begin(), s.values.end());
    return;
  }
  if (!is_flag(option)) {
    for (const std::string& value : s.values)
      if (value.empty() || option.get_lnames().empty())
        words.insert(words.end(), {flag, value});
      else
        words.push_back(flag + "=" + value);
    return;
  }
  constexpr std::string_view yes[] = {"true", "1", "yes", "on"}, no[] = {"false", "0", "no", "off"};
  const std::string value = s.values.size() == 1 ? s.values.front() : "a list";
  if (std::ranges::find(yes, value) != std::end(yes)) return words.push_back(flag);
  if (std::ranges::find(no, value) == std::end(no))
    throw usage_error("--" + s.name + " was expected to be true or false and is \"" + value +
                      "\" in " + s.from + "; correct it there");
}

/// The file's entries by option. @throws usage_error
std::vector<std::pair<const CLI::Option*, setting>> read_file(
    const std::string& file, const std::vector<const CLI::Option*>& options) {
  constexpr std::uintmax_t most = 1u << 20;
  std::error_code failed;
  const auto size = std::filesystem::file_size(file, failed);
  if (failed || size > most)
    throw gantry::data_error(
        "--config was expected to name a file of settings of at most 1 MiB and is " + file +
        "; give one such as the config.toml in the folder of a run");
  std::vector<std::string> known;
  for (const CLI::Option* o : options) known.push_back(name_of(*o));
  std::vector<std::pair<const CLI::Option*, setting>> found;
  for (const config_entry& e : parse_config(gantry::io::read_text(file), file)) {
    std::string key = e.key;
    std::ranges::replace(key, '_', '-');
    const std::string where = file + ", line " + std::to_string(e.line) + ": ";
    const auto at = std::ranges::find_if(options, [&](const CLI::Option* o) {
      return o->check_lname(key) || o->check_lname(e.key);
    });
    if (at == options.end()) {
      const std::string near = near_match(key, known);
      throw usage_error(where + "expected a setting of this program and found \"" + e.key + "\"; " +
                        (near.empty() ? "--help lists them" : "the nearest is \"" + near + "\""));
    }
    if (std::ranges::find(found, *at, [](const auto& f) { return f.first; }) != found.end())
      throw usage_error(where + "expected each setting once and found \"" + e.key +
                        "\" again; remove one of the two");
    found.push_back({*at, {name_of(**at), e.values, file}});
  }
  return found;
}

/// Where --config names a file, else its variable.
std::string file_of(const CLI::App& app, const std::vector<std::string>& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i].starts_with("--config=")) return words[i].substr(9);
    if (words[i] == "--config" && i + 1 < words.size()) return words[i + 1];
  }
  const CLI::Option* option = named("--config", app);
  return option ? variable(variable_of(*option)).value_or("") : "";
}

using given_list = std::vector<const CLI::Option*>;
using file_settings = std::vector<std::pair<const CLI::Option*, setting>>;

/// How far away an option is set: 0 on the command line, 1 in the environment, 2 in the file, 3
/// nowhere.
int distance_of(const CLI::Option& o, const given_list& typed, const file_settings& file) {
  if (std::ranges::find(typed, &o) != typed.end()) return 0;
  if (variable(variable_of(o))) return 1;
  return std::ranges::find(file, &o, [](const auto& f) { return f.first; }) != file.end() ? 2 : 3;
}

/// Whether a nearer place sets an option that this one excludes, or one excluded by what this one
/// needs.
bool is_displaced(const CLI::Option& o, const given_list& typed, const file_settings& file) {
  const int here = distance_of(o, typed, file);
  return std::ranges::any_of(
             o.get_excludes(),
             [&](const CLI::Option* other) { return distance_of(*other, typed, file) < here; }) ||
         (here > 0 && std::ranges::any_of(o.get_needs(), [&](const CLI::Option* other) {
            return is_displaced(*other, typed, file);
          }));
}

/// A refusal of a value says where the value stands, if that is not the command line.
[[noreturn]] void explain(const CLI::ParseError& e, const std::vector<setting>& elsewhere) {
  const std::string text = e.what();
  for (const setting& s : elsewhere)
    if (text.starts_with("--" + s.name + ":"))
      throw usage_error((dynamic_cast<const CLI::ArgumentMismatch*>(&e)
                             ? "--" + s.name + " was expected to come once, with one value"
                             : text) +
                        "; correct it in " + s.from);
  throw;
}

/// In the order of the options, whatever each comes from.
std::vector<setting> all_given(const given_list& options, const std::vector<setting>& elsewhere) {
  std::vector<setting> given;
  for (const CLI::Option* o : options) {
    const auto at = std::ranges::find(elsewhere, name_of(*o), &setting::name);
    if (at != elsewhere.end())
      given.push_back(*at);
    else if (o->count() > 0)
      given.push_back({name_of(*o), is_flag(*o) ? std::vector<std::string>{"true"} : o->results(),
                       "the command line"});
  }
  return given;
}

}  // namespace

void add_config_flag(CLI::App& app) {
  app.add_option("--config",
                 "file of settings, a line such as batch = 16 each; flags and variables such as "
                 "GANTRY_BATCH win over it")
      ->type_name("FILE");
}

void use_variables(CLI::App& app, const std::string& prefix) {
  for (CLI::Option* o : app.get_options()) o->envname(variable_of(prefix, name_of(*o)));
}

std::vector<setting> parse_layers(CLI::App& app, int argc, const char* const* argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  const bool asks = std::ranges::any_of(
      words, [](const std::string& w) { return w == "--help" || w == "-h" || w == "--version"; });
  CLI::App& scope = chosen(app, words);
  const std::vector<std::string> own(words.begin() + (&scope == &app ? 0 : 1), words.end());
  if (!asks) require_known(app, scope, own);
  const std::vector<const CLI::Option*> options = settable(scope);
  const given_list typed = given_options(own, scope);
  file_settings file;
  if (const std::string name = file_of(scope, own); !name.empty() && !asks)
    file = read_file(name, options);
  std::vector<setting> elsewhere;
  for (const CLI::Option* o : options) {
    if (asks || distance_of(*o, typed, file) == 0 || is_displaced(*o, typed, file)) continue;
    const auto in_file = std::ranges::find(file, o, [](const auto& f) { return f.first; });
    if (const auto value = variable(variable_of(*o)))
      elsewhere.push_back({name_of(*o), {*value}, variable_of(*o)});
    else if (in_file != file.end())
      elsewhere.push_back(in_file->second);
    else
      continue;
    append(words, *o, elsewhere.back());
  }
  for (CLI::Option* o : scope.get_options()) o->envname("");  // was read above, if it counts
  try {
    std::ranges::reverse(words);  // as CLI11 wants them
    app.parse(words);
  } catch (const CLI::ParseError& e) {
    explain(e, elsewhere);
  }
  return all_given(options, elsewhere);
}

std::optional<std::vector<setting>> parse_or_print_help(CLI::App& app, int argc,
                                                        const char* const* argv,
                                                        const std::string& program) {
  try {
    return parse_layers(app, argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() != 0)
      throw usage_error(e.what() + ("; " + program) + " --help describes the flags");
    app.exit(e);
    return std::nullopt;
  }
}

std::string described(const setting& s) {
  return config_line(s.name, s.values) + " (" + s.from + ")";
}

std::string config_text(const CLI::App& app, const std::vector<setting>& given,
                        const std::vector<std::string>& left_out) {
  std::string text = "# " + app.get_name() + " --config FILE; commented are the defaults\n";
  for (const CLI::Option* o : settable(app)) {
    const std::string name = name_of(*o), value = o->get_default_str();
    if (std::ranges::find(left_out, name) != left_out.end()) continue;
    const auto at = std::ranges::find(given, name, &setting::name);
    if (at != given.end())
      text += config_line(name, at->values) + "\n";
    else if (is_flag(*o))
      text += "# " + name + " = false\n";
    else
      text += "# " + config_line(name, {value}) + "\n";
  }
  return text;
}
