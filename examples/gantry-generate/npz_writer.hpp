// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// NumPy's .npz files: stored zip archives (APPNOTE.TXT 6.3, PKWARE) of .npy files.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

/// Files by name, one after the other.
using npz_members = std::vector<std::pair<std::string, std::vector<std::byte>>>;

/// Writes an archive atomically. @throws gantry::usage_error if it would need 4 GiB or more
void write_npz(const std::filesystem::path& path, const npz_members& members);
