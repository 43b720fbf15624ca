// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Who goes on as whom when a run is resumed with another number of workers.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "gantry/io/json_value.hpp"

namespace gantry::inline v0::train {

/// For each worker of the resumed run, the worker of the checkpoint (1, 2, ...) whose networks it
/// starts from; 0: it had been lost and stays so. `live` says which workers the checkpoint has.
///
/// With as many workers as before, each goes on as itself; with `revive`, one that had been lost
/// starts from a copy of a live one's. With another number, those that were live take the seats in
/// their order: the last ones vanish if there are fewer, and if there are more, the new ones start
/// from copies, of the first live worker's networks, then of the second's, and so on in turn.
inline std::vector<int> resume_seats(const std::vector<bool>& live, int workers, bool revive) {
  std::vector<int> before, seats;
  for (std::size_t n = 0; n < live.size(); ++n)
    if (live[n]) before.push_back(static_cast<int>(n) + 1);
  const bool same = live.size() == static_cast<std::size_t>(workers);
  for (std::size_t n = 0; n < static_cast<std::size_t>(workers); ++n) {
    const int copy = before.empty() ? 0 : before[n % before.size()];
    if (same)
      seats.push_back(live[n] ? static_cast<int>(n) + 1 : revive ? copy : 0);
    else
      seats.push_back(copy);
  }
  return seats;
}

/// Which workers a checkpoint's state.json says were live. @throws data_error if it does not
inline std::vector<bool> live_workers_of(const io::json::value& state) {
  std::vector<bool> live;
  for (const auto& flag : state.at("live_workers").as_array()) live.push_back(flag.as_bool());
  return live;
}

/// Removes what a worker that is lost had begun to write into a checkpoint's folder: it may be half
/// of a file.
inline void remove_files_of(int worker, const std::filesystem::path& folder) {
  const std::string mark = "-" + std::to_string(worker) + ".safetensors";
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().filename().string().find(mark) != std::string::npos)
      found.push_back(entry.path());
  std::error_code ignored;
  for (const auto& path : found) std::filesystem::remove(path, ignored);
}

}  // namespace gantry::train
