// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What an earlier run left in the folder that a run writes to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gantry/io/json.hpp"
#include "gantry/io/report.hpp"

/// The rank in a name such as phases-3.jsonl.
std::optional<int> phases_rank(std::string_view name);

/// Whether a run that resumes from this checkpoint goes on in the folder that holds it.
bool goes_on_in(const std::filesystem::path& folder, const std::filesystem::path& checkpoint);

/// The checkpoint in a folder: the folder itself, or the latest complete one of the run in it.
/// @throws gantry::data_error if there is none
std::filesystem::path require_checkpoint(const std::filesystem::path& folder);

/// Checkpoints beside this one, of later iterations, that lack their manifest.
std::vector<std::filesystem::path> incomplete_after(const std::filesystem::path& checkpoint);

/// A checkpoint in the folder of a run, complete or not; the last of several.
std::optional<std::filesystem::path> any_checkpoint(const std::filesystem::path& folder);

/// Removes what an earlier run wrote behind this iteration, but no checkpoint without a manifest,
/// or without an iteration all that it wrote; what gantry-train does not write itself stays.
/// @returns a line about it, empty if there was nothing
std::string clear_run_folder(const std::filesystem::path& folder,
                             std::optional<std::uint32_t> iteration);

/// Calls use(value) for each line of a JSON lines file, if there is one.
/// @throws data_error that names the file, also for what use throws
void for_each_line(const std::filesystem::path& path,
                   const std::function<void(const gantry::io::json::value&)>& use);

/// The sample grids of a run so far, in the order in which they were made.
std::vector<gantry::io::picture> read_pictures(const std::filesystem::path& folder);
