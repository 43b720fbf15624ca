// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// NumPy's .npz files: stored zip archives (APPNOTE.TXT 6.3, PKWARE) of .npy files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// Files by name, one after the other.
using npz_members = std::vector<std::pair<std::string, std::vector<std::byte>>>;

/// The bytes of a .npy file with whole numbers from 0 to 255, C order.
std::vector<std::byte> npy_of_bytes(std::span<const std::uint8_t> values,
                                    const std::vector<std::size_t>& shape);

/// Writes an archive atomically. @throws gantry::usage_error if it would need 4 GiB or more
void write_npz(const std::filesystem::path& path, const npz_members& members);
