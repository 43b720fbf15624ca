// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// gantry-data: looks at data sets of images, packs them for training and previews their split. The
// exit codes are those of gantry/base/error.hpp.
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>

#include "gantry/base/error.hpp"
#include "gantry/data/packed.hpp"

#include "commands.hpp"
#include "data_options.hpp"
#include "guarded.hpp"
#include "pack.hpp"

namespace {

using namespace gantry;

/// A slip of the command line must not cost the user a file. @throws usage_error
void require_replaceable(const data_options& o) {
  std::error_code missing;
  if (std::filesystem::equivalent(o.path, o.out, missing))
    throw usage_error("--out was expected to be another file than the data set and is " +
                      o.out.string() + "; name a new one");
  if (std::filesystem::exists(o.out, missing) && !data::is_packed(o.out))
    throw usage_error("--out was expected to be a new file or a packed one and " + o.out.string() +
                      " is neither; name another one");
}

void pack_into_file(const data_options& o) {
  require_replaceable(o);
  const picture_set pictures = open_pictures(o.path, o.settings.attribute);
  const auto key = pack_key(o.path, o.settings);
  const train::pack_report report = pack(pictures, o.settings, o.out, key);
  if (pictures.images.classes() > report.classes)
    std::printf("labels are left out: packed files have at most 256 classes and %s has %zu\n",
                o.path.c_str(), pictures.images.classes());
  std::printf("%s: %s\n", o.path.c_str(), pictures.format.c_str());
  std::printf("%s: %s\n", o.out.c_str(), pack_text(report, o.settings.image).c_str());
}

int run(const data_options& o) {
  if (const std::string missing = missing_decoders(); !missing.empty() && !o.settings.quiet)
    std::fprintf(stderr, "gantry-data: %s\n", missing.c_str());
  for (const setting& s : o.given)
    if (!o.settings.quiet && s.from != "the command line")
      std::fprintf(stderr, "setting: %s\n", described(s).c_str());
  switch (o.what) {
    case data_options::command::inspect:
      inspect(o);
      break;
    case data_options::command::pack:
      pack_into_file(o);
      break;
    case data_options::command::partition:
      preview_partition(o);
      break;
  }
  return static_cast<int>(exit_code::done);
}

}  // namespace

int main(int argc, char** argv) {
  return guarded({"gantry-data", "lower --threads"}, [&] {
    const auto options = parse_data_options(argc, argv);
    return options ? run(*options) : static_cast<int>(exit_code::done);
  });
}
