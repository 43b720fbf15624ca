// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <thread>

#include "gantry/base/error.hpp"

#include "preset.hpp"
#include "task_list.hpp"

namespace {

using namespace gantry;

/// The words of a command line without some flags and their values.
std::vector<std::string> without(int argc, const char* const* argv,
                                 const std::vector<std::string_view>& flags) {
  std::vector<std::string> words;
  for (int i = 0; i < argc; ++i) {
    const std::string_view word = argv[i];
    const std::string_view name = word.substr(0, word.find('='));
    if (std::ranges::find(flags, name) == flags.end()) {
      words.emplace_back(word);
      continue;
    }
    while (i + 1 < argc && argv[i + 1][0] != '-') ++i;  // its values
  }
  return words;
}

/// @throws usage_error for what only one set of networks, or only one process per rank, can do
void require_several(const program_options& all) {
  const auto refuse = [](const std::string& with, const std::string& found,
                         const std::string& instead) {
    throw usage_error("--tasks was expected " + with + " and came " + found + "; " + instead);
  };
  if (all.model_given)
    refuse("without --model", "with it", "name the networks of every task in --tasks");
  if (!all.strategy.has_server())
    refuse("with a strategy that has workers", "with " + all.strategy.name,
           "choose another --strategy");
  if (all.transport != "threads")
    refuse("with --transport threads", "with " + all.transport,
           "leave one of them out: the groups of workers are threads around one server process");
  if (!all.resume.empty() && all.resume != "latest")
    refuse("with --resume latest", "with --resume " + all.resume,
           "each task goes on from the latest checkpoint of its own folder");
  if (all.sample > 0 || !all.init_generator.empty() || !all.init_discriminator.empty())
    refuse("without the files of one set of networks",
           "with --sample, --init-generator or --init-discriminator", "leave those out");
  for (std::size_t i = 0; i < all.tasks.size(); ++i)
    if (std::ranges::count(all.tasks, all.tasks[i]) > 1)
      refuse("with different networks", "with " + all.tasks[i] + " twice",
             "name them once: tasks are told apart by their networks");
}

std::string text_of(hwc image) {
  return std::to_string(image.h) + " x " + std::to_string(image.w) + " x " +
         std::to_string(image.c);
}

}  // namespace

std::vector<program_options> options_of_tasks(int argc, const char* const* argv,
                                              const program_options& all) {
  require_several(all);
  const std::vector<std::string> words = without(argc, argv, {"--tasks", "--outdir"});
  std::vector<program_options> tasks;
  for (const std::string& name : all.tasks) {
    const std::string folder = (all.outdir / name).string();
    std::vector<const char*> own;
    for (const std::string& word : words) own.push_back(word.c_str());
    for (const char* word : {"--model", name.c_str(), "--outdir", folder.c_str()})
      own.push_back(word);
    tasks.push_back(*parse_options(static_cast<int>(own.size()), own.data(), known_models()));
    tasks.back().task = name;
    const hwc image = chosen_preset(tasks.back()).image;
    if (const hwc first = chosen_preset(tasks.front()).image; image != first)
      throw usage_error("--tasks was expected with networks for images of one size and came with " +
                        all.tasks.front() + " for " + text_of(first) + " and " + name + " for " +
                        text_of(image) + "; leave one of them out");
  }
  return tasks;
}

int train_together(const std::vector<program_options>& tasks,
                   const std::function<int(const program_options&)>& train) {
  std::vector<int> codes(tasks.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < tasks.size(); ++i)
    threads.emplace_back([&, i] { codes[i] = train(tasks[i]); });
  for (std::thread& t : threads) t.join();
  const auto done = static_cast<int>(exit_code::done);
  const auto failed = std::ranges::find_if(codes, [&](int code) { return code != done; });
  return failed == codes.end() ? done : *failed;
}
