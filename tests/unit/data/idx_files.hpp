// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Files, good and bad, for the tests of this folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <vector>

#include "support/deflated.hpp"
#include "support/scratch_folder.hpp"

namespace idx_files {

using bytes = std::vector<std::uint8_t>;

/// A folder of its own that is gone after the test.
class temporary_directory : public gantry::test::scratch_folder {
 public:
  std::filesystem::path write(const std::string& name, const bytes& contents) const {
    std::ofstream(path() / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(contents.data()),
               static_cast<std::streamsize>(contents.size()));
    return path() / name;
  }
};

/// Big-endian words and then the body.
inline bytes idx(std::initializer_list<std::uint32_t> header, const bytes& body) {
  bytes out;
  for (const std::uint32_t word : header)
    for (int shift = 24; shift >= 0; shift -= 8)
      out.push_back(static_cast<std::uint8_t>(word >> shift));
  out.insert(out.end(), body.begin(), body.end());
  return out;
}

/// n images whose pixels count up, modulo 251.
inline bytes images(std::uint32_t n, std::uint32_t height, std::uint32_t width) {
  bytes body(std::size_t{n} * height * width);
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<std::uint8_t>(i % 251);
  return idx({0x803, n, height, width}, body);
}

/// n labels 0 .. 9 in turn.
inline bytes labels(std::uint32_t n) {
  bytes body(n);
  for (std::size_t i = 0; i < n; ++i) body[i] = static_cast<std::uint8_t>(i % 10);
  return idx({0x801, n}, body);
}

/// One gzip member.
inline bytes gzip(const bytes& contents) { return gantry::test::deflated(contents, 6, 15 + 16); }

inline bytes operator+(bytes a, const bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// The message of the error of type Error that `action` throws, or a note that it threw none.
template <class Error, class Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "(nothing was thrown)";
}

/// True if each part is in the text, and the text is one sentence without a line break.
inline bool says(const std::string& text, std::initializer_list<std::string> parts) {
  for (const std::string& part : parts)
    if (text.find(part) == std::string::npos) return false;
  return text.find('\n') == std::string::npos;
}

}  // namespace idx_files
