// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Tensors in the safetensors format: u64 little-endian header size, a JSON header, then the bytes
// of all tensors without holes (https://github.com/huggingface/safetensors, README and tensor.rs).
// The reader enforces every rule of it.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/json.hpp"

namespace gantry::inline v0::io {

static_assert(
    std::endian::native == std::endian::little,
    "Gantry's checkpoints hold little-endian numbers; build it for a little-endian machine");

/// What can be kept in a tensor of a checkpoint.
template <class T>
concept TensorScalar = std::same_as<T, float> || std::same_as<T, double> ||
    std::same_as<T, std::int64_t> || std::same_as<T, std::uint8_t>;

/// The format's name of a scalar type.
template <TensorScalar T>
constexpr std::string_view dtype_of() {
  if constexpr (std::same_as<T, float>) return "F32";
  if constexpr (std::same_as<T, double>) return "F64";
  if constexpr (std::same_as<T, std::int64_t>) return "I64";
  if constexpr (std::same_as<T, std::uint8_t>) return "U8";
}

/// Bytes per number of a dtype, 0 for one that is not read or written here.
constexpr std::size_t dtype_size(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64") return 8;
  if (dtype == "F32") return 4;
  if (dtype == "F16" || dtype == "BF16") return 2;
  return dtype == "U8" ? 1 : 0;
}
inline constexpr std::string_view known_dtypes = "F64, F32, F16, BF16, I64 and U8";

/// Numbers in a tensor of this shape, 1 for an empty shape; -1 if the shape is negative or does not
/// fit.
inline std::int64_t element_count(std::span<const std::int64_t> shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0) return -1;
    if (extent > 0 && count > std::numeric_limits<std::int64_t>::max() / extent) return -1;
    count *= extent;
  }
  return count;
}

/// "[64, 3, 4, 4]"
inline std::string shape_text(std::span<const std::int64_t> shape) {
  std::string out = "[";
  for (const std::int64_t extent : shape) {
    out += (out.size() > 1 ? ", " : "") + std::to_string(extent);
  }
  return out + "]";
}

/// One tensor, row-major. The bytes belong to the caller (writing) or to the safetensors_file
/// (reading).
struct tensor_entry {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;

  template <TensorScalar T>
  static tensor_entry of(std::string name, std::vector<std::int64_t> shape,
                         std::span<const T> values) {
    return {std::move(name), std::string(dtype_of<T>()), std::move(shape), std::as_bytes(values)};
  }
};

/// The `__metadata__` of a file, in order.
using tensor_metadata = std::vector<std::pair<std::string, std::string>>;

inline constexpr std::uint64_t max_safetensors_header = 100'000'000;

/// The tensors of one file.
class safetensors_file {
 public:
  /// @throws data_error that names the file and the rule it breaks
  static safetensors_file read(const std::filesystem::path& path) {
    return parse(read_file(path), path.string());
  }
  /// Reads a file's bytes; `name` stands for the file in messages. @throws data_error as read()
  static safetensors_file parse(std::span<const std::byte> bytes, std::string name);

  safetensors_file(safetensors_file&&) = default;
  safetensors_file& operator=(safetensors_file&&) = default;

  /// In the order of their bytes.
  [[nodiscard]] const std::vector<tensor_entry>& tensors() const& { return tensors_; }
  void tensors() const&& = delete;
  [[nodiscard]] const tensor_metadata& metadata() const { return metadata_; }

  /// The tensor of this name, or null.
  [[nodiscard]] const tensor_entry* find(std::string_view name) const {
    const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                    [&](const tensor_entry& t) { return t.name == name; });
    return found == tensors_.end() ? nullptr : &*found;
  }

  /// The numbers of a tensor, valid as long as this object. @throws data_error if it is missing or
  /// of another dtype
  template <TensorScalar T>
  [[nodiscard]] std::span<const T> find(std::string_view name) const {
    const tensor_entry& entry = require(name);
    if (entry.dtype != dtype_of<T>()) {
      mismatch(entry, "dtype " + std::string(dtype_of<T>()), entry.dtype);
    }
    return {reinterpret_cast<const T*>(entry.data.data()), entry.data.size() / sizeof(T)};
  }

  /// As find<T>(name), for a tensor that must have this shape. @throws data_error also for another
  /// shape
  template <TensorScalar T>
  [[nodiscard]] std::span<const T> find(std::string_view name,
                                        std::span<const std::int64_t> shape) const {
    const tensor_entry& entry = require(name);
    if (!std::ranges::equal(entry.shape, shape)) {
      mismatch(entry, "shape " + shape_text(shape), shape_text(entry.shape));
    }
    return find<T>(name);
  }

 private:
  safetensors_file() = default;
  friend class safetensors_reader;

  [[nodiscard]] const tensor_entry& require(std::string_view name) const {
    if (const tensor_entry* entry = find(name)) return *entry;
    throw data_error(file_ + " was expected to hold the tensor " + in_quotes(name) +
                     " and does not; check that it was saved by the same network");
  }
  [[noreturn]] void mismatch(const tensor_entry& entry, const std::string& expected,
                             const std::string& found) const {
    throw data_error("tensor " + in_quotes(entry.name) + " in " + file_ + " was expected to have " +
                     expected + " and has " + found +
                     "; check that it was saved by the same network");
  }

  std::string file_;
  std::vector<tensor_entry> tensors_;
  tensor_metadata metadata_;
  std::vector<std::byte> arena_;
};

/// Checks and takes apart the bytes of one file; used through safetensors_file.
class safetensors_reader {
 public:
  safetensors_reader(std::span<const std::byte> bytes, std::string name) : bytes_(bytes) {
    result_.file_ = std::move(name);
  }

  safetensors_file read() {
    const json::value header = read_header();
    for (const json::member& m : header.as_object().members()) {
      if (m.key == "__metadata__") {
        read_metadata(m.content);
      } else {
        read_tensor(m.key, m.content);
      }
    }
    check_offsets();
    copy_data();
    return std::move(result_);
  }

 private:
  struct located {
    tensor_entry entry;
    std::int64_t begin;
    std::int64_t end;
  };

  [[noreturn]] void refuse(const std::string& reason) const {
    throw data_error(result_.file_ + " is not a valid safetensors file: " + reason +
                     "; restore it from a copy or use an earlier snapshot");
  }
  [[noreturn]] void refuse(const std::string& tensor, const std::string& reason) const {
    refuse("tensor " + in_quotes(tensor) + " " + reason);
  }

  json::value read_header() {
    if (bytes_.size() < 8)
      refuse("expected 8 bytes of header size and found " + std::to_string(bytes_.size()));
    std::uint64_t size = 0;
    std::memcpy(&size, bytes_.data(), 8);
    if (size > max_safetensors_header) {
      refuse("its header size is " + std::to_string(size) + " and at most 100000000 is allowed");
    }
    if (size > bytes_.size() - 8) {
      refuse("its header size is " + std::to_string(size) + " and only " +
             std::to_string(bytes_.size() - 8) + " bytes follow");
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + 8, size);
    if (!text.starts_with('{')) refuse("its header does not start with '{'");
    data_ = bytes_.subspan(8 + size);
    return json::parse(text, "the header of " + result_.file_);
  }

  void read_metadata(const json::value& content) {
    if (!content.is_object())
      refuse("__metadata__ is expected to be an object and is " + std::string(content.kind()));
    for (const json::member& m : content.as_object().members()) {
      if (!m.content.is_string()) {
        refuse("__metadata__ holds strings only and " + in_quotes(m.key) + " is " +
               m.content.kind());
      }
      result_.metadata_.emplace_back(m.key, m.content.as_string());
    }
  }

  void read_tensor(const std::string& name, const json::value& content) {
    if (!content.is_object())
      refuse(name, std::string("is expected to be an object and is ") + content.kind());
    const json::object& fields = content.as_object();
    const json::value* dtype = fields.find("dtype");
    const json::value* shape = fields.find("shape");
    const json::value* offsets = fields.find("data_offsets");
    if (!dtype || !shape || !offsets || fields.size() != 3) {
      refuse(name, "is expected to have exactly the members dtype, shape and data_offsets");
    }
    if (!dtype->is_string()) refuse(name, "has a dtype that is no string");
    if (dtype_size(dtype->as_string()) == 0) {
      refuse(name, "has the dtype " + in_quotes(dtype->as_string()) + " and only " +
                       std::string(known_dtypes) + " are known");
    }
    const std::vector<std::int64_t> ends = read_integers(name, "data_offsets", *offsets);
    if (ends.size() != 2)
      refuse(name, "has data_offsets of " + std::to_string(ends.size()) + " numbers instead of 2");
    located found{
        {name, dtype->as_string(), read_integers(name, "shape", *shape), {}}, ends[0], ends[1]};
    check_size(found);
    tensors_.push_back(std::move(found));
  }

  std::vector<std::int64_t> read_integers(const std::string& name, const std::string& field,
                                          const json::value& list) const {
    if (!list.is_array()) refuse(name, "has a " + field + " that is no array");
    std::vector<std::int64_t> numbers;
    for (const json::value& number : list.as_array()) {
      if (!number.is_int() || number.as_int() < 0) {
        refuse(name, "has a " + field + " with an entry that is no integer from 0 to 2^63 - 1");
      }
      numbers.push_back(number.as_int());
    }
    return numbers;
  }

  void check_size(const located& t) const {
    const std::string& name = t.entry.name;
    const auto size = static_cast<std::int64_t>(dtype_size(t.entry.dtype));
    const std::int64_t count = element_count(t.entry.shape);
    if (count < 0 || count > std::numeric_limits<std::int64_t>::max() / size) {
      refuse(name, "has the shape " + shape_text(t.entry.shape) + ", whose size overflows");
    }
    if (t.begin > t.end) {
      refuse(name, "has data_offsets that begin at " + std::to_string(t.begin) +
                       ", after their end at " + std::to_string(t.end));
    }
    if (t.end > static_cast<std::int64_t>(data_.size())) {
      refuse(name, "ends at byte " + std::to_string(t.end) + " of the data and there are only " +
                       std::to_string(data_.size()));
    }
    if (t.end - t.begin != count * size) {
      refuse(name, "needs " + std::to_string(count * size) +
                       " bytes for its dtype and shape and its data_offsets span " +
                       std::to_string(t.end - t.begin));
    }
  }

  /// Sorted by place, each tensor must begin where the one before ends: that excludes overlaps and
  /// holes at once.
  void check_offsets() {
    std::stable_sort(tensors_.begin(), tensors_.end(), [](const located& a, const located& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    std::int64_t end = 0;
    for (const located& t : tensors_) {
      if (t.begin < end) refuse(t.entry.name, "overlaps the one before it");
      if (t.begin > end)
        refuse(t.entry.name, "begins after a hole of " + std::to_string(t.begin - end) + " bytes");
      end = t.end;
    }
    const auto extra = static_cast<std::int64_t>(data_.size()) - end;
    if (extra > 0) refuse(std::to_string(extra) + " bytes at its end belong to no tensor");
  }

  /// Each tensor goes to an aligned place of its own: the file's offsets need not be aligned.
  void copy_data() {
    constexpr std::size_t alignment = 16;
    std::size_t total = 0;
    for (const located& t : tensors_)
      total += (bytes_of(t).size() + alignment - 1) / alignment * alignment;
    result_.arena_.resize(total);
    std::size_t at = 0;
    for (located& t : tensors_) {
      const std::span<const std::byte> from = bytes_of(t);
      std::copy(from.begin(), from.end(), result_.arena_.begin() + static_cast<std::ptrdiff_t>(at));
      t.entry.data = std::span<const std::byte>(result_.arena_).subspan(at, from.size());
      at += (from.size() + alignment - 1) / alignment * alignment;
      result_.tensors_.push_back(std::move(t.entry));
    }
  }

  [[nodiscard]] std::span<const std::byte> bytes_of(const located& t) const {
    return data_.subspan(static_cast<std::size_t>(t.begin),
                         static_cast<std::size_t>(t.end - t.begin));
  }

  std::span<const std::byte> bytes_;
  std::span<const std::byte> data_;
  std::vector<located> tensors_;
  safetensors_file result_;
};

inline safetensors_file safetensors_file::parse(std::span<const std::byte> bytes,
                                                std::string name) {
  return safetensors_reader(bytes, std::move(name)).read();
}

/// The bytes of a file with these tensors, in this order; equal input gives equal bytes. The data
/// starts at a multiple of 8. @throws usage_error for a repeated or bad name, an unknown dtype, or
/// data that does not fit its shape
inline std::vector<std::byte> encode_safetensors(std::span<const tensor_entry> tensors,
                                                 const tensor_metadata& metadata = {}) {
  const auto refuse = [](const std::string& name, const std::string& reason) {
    throw usage_error("cannot save tensor " + in_quotes(name) + ": " + reason);
  };
  json::object header;
  if (!metadata.empty()) {
    json::object strings;
    for (const auto& [key, text] : metadata) {
      expects(is_utf8(key) && is_utf8(text) && !strings.find(key),
              "safetensors metadata is UTF-8 with one text per key and was given something else; "
              "correct it");
      strings.set(key, text);
    }
    header.set("__metadata__", std::move(strings));
  }
  std::int64_t end = 0;
  for (const tensor_entry& t : tensors) {
    if (t.name == "__metadata__" || !is_utf8(t.name))
      refuse(t.name, "choose another name, in UTF-8");
    if (header.find(t.name)) refuse(t.name, "the name is used twice; rename one of the two");
    const auto size = static_cast<std::int64_t>(dtype_size(t.dtype));
    if (size == 0)
      refuse(t.name, "dtype " + in_quotes(t.dtype) + " is none of " + std::string(known_dtypes) +
                         "; convert it");
    const std::int64_t count = element_count(t.shape);
    const auto bytes = static_cast<std::int64_t>(t.data.size());
    if (count < 0 || bytes / size != count || bytes % size != 0) {
      refuse(t.name, "shape " + shape_text(t.shape) + " does not fit its " + std::to_string(bytes) +
                         " bytes of " + t.dtype + "; correct the shape");
    }
    header.set(t.name, json::object{{"dtype", t.dtype},
                                    {"shape", json::array(t.shape.begin(), t.shape.end())},
                                    {"data_offsets", json::array{end, end + bytes}}});
    end += bytes;
  }
  std::string text = json::dump(std::move(header));
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t text_size = text.size();
  expects(text_size <= max_safetensors_header,
          "a safetensors header has at most 100000000 bytes and these tensors need more; use two "
          "files");
  std::vector<std::byte> file(8 + text.size() + static_cast<std::size_t>(end));
  std::memcpy(file.data(), &text_size, 8);
  std::memcpy(file.data() + 8, text.data(), text.size());
  auto at = file.begin() + static_cast<std::ptrdiff_t>(8 + text.size());
  for (const tensor_entry& t : tensors) at = std::copy(t.data.begin(), t.data.end(), at);
  return file;
}

/// Writes the file atomically. @throws usage_error as encode_safetensors, error if it cannot be
/// written
inline void write_safetensors(const std::filesystem::path& path,
                              std::span<const tensor_entry> tensors,
                              const tensor_metadata& metadata = {}) {
  write_file_atomic(path, encode_safetensors(tensors, metadata));
}

}  // namespace gantry::io
