// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Any bytes are a file of tensors or end in one data_error. What is accepted keeps the rules of the
// format and reads back from what the writer makes of it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/safetensors.hpp"

namespace {

using namespace gantry::io;

void require(bool condition) {
  if (!condition) std::abort();
}

/// Changes inside of a header would nearly always leave its size wrong. An input that starts with
/// the header itself, up to its last brace, gets the size that fits.
std::vector<std::byte> with_header_size(std::string_view text) {
  const std::uint64_t size = text.rfind('}') == text.npos ? text.size() : text.rfind('}') + 1;
  std::vector<std::byte> file(8 + text.size());
  std::memcpy(file.data(), &size, 8);
  std::memcpy(file.data() + 8, text.data(), text.size());
  return file;
}

void check(std::span<const std::byte> bytes) {
  const safetensors_file file = safetensors_file::parse(bytes, "input");
  std::size_t total = 0;
  for (const tensor_entry& t : file.tensors()) {
    const std::int64_t count = element_count(t.shape);
    require(count >= 0 && t.data.size() == static_cast<std::size_t>(count) * dtype_size(t.dtype) &&
            file.find(t.name) == &t);
    total += t.data.size();
  }
  std::uint64_t header = 0;
  std::memcpy(&header, bytes.data(), 8);
  require(8 + header + total == bytes.size());
  const std::vector<std::byte> again = encode_safetensors(file.tensors(), file.metadata());
  const safetensors_file copy = safetensors_file::parse(again, "copy");
  require(copy.metadata() == file.metadata() && copy.tensors().size() == file.tensors().size());
  for (const tensor_entry& t : file.tensors()) {
    const tensor_entry* same = copy.find(t.name);
    require(same && same->dtype == t.dtype && same->shape == t.shape &&
            std::ranges::equal(same->data, t.data));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    if (text.starts_with('{'))
      check(with_header_size(text));
    else
      check(std::as_bytes(std::span(data, size)));
  } catch (const gantry::data_error&) {}
  return 0;
}
