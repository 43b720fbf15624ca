// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <filesystem>
#include <string>
#include <system_error>

#include "gantry/io/refuse.hpp"

namespace gantry::inline v0::io {

/// What becomes of folders in a folder that may not be read.
enum class unreadable_folders { refused, skipped };

/// Calls visit(entry) for what lies below a folder and is no folder itself, in no order: links are
/// followed, hidden names and what is in hidden folders are left out.
/// @throws data_error for folders deeper than 32, which a link to a folder above makes, and for
/// those that cannot be read
template <std::invocable<const std::filesystem::directory_entry&> Visit>
void for_each_below(const std::filesystem::path& folder, unreadable_folders how, Visit visit) {
  namespace fs = std::filesystem;
  constexpr int deepest = 32;
  auto options = fs::directory_options::follow_directory_symlink;
  if (how == unreadable_folders::skipped) options |= fs::directory_options::skip_permission_denied;
  std::error_code failed;
  fs::recursive_directory_iterator at(folder, options, failed);
  for (; !failed && at != fs::recursive_directory_iterator(); at.increment(failed)) {
    std::error_code unreadable;
    if (at->path().filename().string().starts_with('.')) {
      at.disable_recursion_pending();
    } else if (!at->is_directory(unreadable)) {
      visit(*at);
    } else if (at.depth() >= deepest) {
      refuse_file(at->path().string(), "folders in at most 32 folders", "more",
                  "remove the link that points to a folder above it");
    }
  }
  if (failed)
    refuse_file(folder.string(), "a readable folder", failed.message(),
                "check its permissions and those of the folders in it");
}

}  // namespace gantry::io
