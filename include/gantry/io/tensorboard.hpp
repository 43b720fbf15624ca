// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Event files that TensorBoard reads: records of a length, its check sum, an encoded Event and its
// check sum (tensorflow/core/util/event.proto, framework/summary.proto).
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/io/crc32c.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/protobuf.hpp"

namespace gantry::inline v0::io {

/// The values of one step. A tag "Loss/G/loss" is shown in the group "Loss".
class event_summary {
 public:
  void scalar(std::string_view tag, double value) {
    protobuf_message v;
    v.text(1, tag);
    v.real32(2, static_cast<float>(value));
    values_.message(1, v);
  }

  /// @throws usage_error if it is no PNG of 1 or 3 channels
  void image(std::string_view tag, std::span<const std::byte> png) {
    expects(png.size() > 25 && std::ranges::equal(png.first(8), signature),
            "an event's image was expected to be a PNG file and is none; encode it with "
            "encode_png");
    protobuf_message content;
    content.integer(1, png_number(png, 20));
    content.integer(2, png_number(png, 16));
    content.integer(3, png[25] == std::byte{2} ? 3 : 1);  // PNG's colour type 2 is RGB
    content.bytes(4, png);
    protobuf_message v;
    v.text(1, tag);
    v.message(4, content);
    values_.message(1, v);
  }

  /// How often values occur in equal parts of their range; those that are not finite are left out.
  /// Nothing is added if none is finite.
  void histogram(std::string_view tag, std::span<const float> values) {
    constexpr std::size_t parts = 64;
    double low = std::numeric_limits<double>::infinity(), high = -low, sum = 0, squares = 0;
    double count = 0;
    for (const float f : values) {
      if (!std::isfinite(f)) continue;
      const auto x = static_cast<double>(f);
      low = std::min(low, x);
      high = std::max(high, x);
      sum += x;
      squares += x * x;
      ++count;
    }
    if (count == 0) return;
    const std::size_t used = low < high ? parts : 1;
    std::vector<double> limits(used, high), counts(used, 0.0);
    const double width = (high - low) / static_cast<double>(used);
    for (std::size_t i = 0; i + 1 < used; ++i) limits[i] = low + static_cast<double>(i + 1) * width;
    for (const float f : values) {
      if (!std::isfinite(f)) continue;
      const double place = used > 1 ? (static_cast<double>(f) - low) / width : 0;
      counts[std::min(static_cast<std::size_t>(place), used - 1)] += 1;
    }
    protobuf_message content;
    for (std::uint32_t field = 1; const double x : {low, high, count, sum, squares})
      content.real64(field++, x);
    content.packed(6, limits);
    content.packed(7, counts);
    protobuf_message v;
    v.text(1, tag);
    v.message(5, content);
    values_.message(1, v);
  }

  /// Markdown.
  void text(std::string_view tag, std::string_view markdown) {
    constexpr int string_type = 7;
    protobuf_message plugin, metadata, extent, shape, tensor, v;
    plugin.text(1, "text");
    metadata.message(1, plugin);
    extent.integer(1, 1);
    shape.message(2, extent);
    tensor.integer(1, string_type);
    tensor.message(2, shape);
    tensor.text(8, markdown);
    v.text(1, tag);
    v.message(8, tensor);
    v.message(9, metadata);
    values_.message(1, v);
  }

  [[nodiscard]] bool is_empty() const { return values_.is_empty(); }

 private:
  friend class event_file;
  static constexpr std::array<std::byte, 8> signature{
      std::byte{0x89}, std::byte{'P'},  std::byte{'N'},  std::byte{'G'},
      std::byte{'\r'}, std::byte{'\n'}, std::byte{0x1A}, std::byte{'\n'}};

  static std::int64_t png_number(std::span<const std::byte> png, std::size_t at) {
    std::int64_t number = 0;
    for (std::size_t i = at; i < at + 4; ++i)
      number = number << 8 | std::to_integer<std::int64_t>(png[i]);
    return number;
  }

  protobuf_message values_;
};

/// A new event file. Each write is with the system when it returns, and whole records are all that
/// a crash leaves, but for the last.
class event_file {
 public:
  /// Makes events.out.tfevents.<time>.<host>.<process>.<number> in a folder that exists. What
  /// earlier files of the folder say about `first_step` and later is not shown any more: a resumed
  /// run says again what lay behind its checkpoint. @throws error if it cannot be written
  explicit event_file(const std::filesystem::path& folder, std::int64_t first_step = 0) {
    do {
      path_ = folder / new_name(folder);
      handle_ = file_handle(
          ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666));
    } while (!handle_.is_open() && errno == EEXIST);
    if (!handle_.is_open()) throw write_error("write", path_, errno);
    protobuf_message version;
    version.real64(1, now());
    version.text(3, "brain.Event:2");
    append(version.encoded());
    protobuf_message start, session;
    session.integer(1, 1);  // SessionLog.START
    start.real64(1, now());
    start.integer(2, first_step);
    start.message(7, session);
    append(start.encoded());
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  /// @throws error if it cannot be written; nothing of the step remains then
  void write(std::int64_t step, const event_summary& summary) {
    protobuf_message event;
    event.real64(1, now());
    event.integer(2, step);
    event.message(5, summary.values_);
    append(event.encoded());
  }

  /// The names that this class gives.
  static bool is_name(std::string_view name) { return name.starts_with(prefix); }

 private:
  static double now() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }

  static constexpr std::string_view prefix = "events.out.tfevents.";

  /// TensorBoard reads the files of a folder in the order of their names, so a new one has a later
  /// second than all others. @throws error if the folder cannot be read
  static std::int64_t new_time(const std::filesystem::path& folder) {
    auto time = static_cast<std::int64_t>(now());
    std::error_code failure;
    for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) {
      const std::string name = entry.path().filename().string();
      if (!is_name(name)) continue;
      std::int64_t other = 0;
      std::from_chars(name.data() + prefix.size(), name.data() + name.size(), other);
      if (other < 9'999'999'999) time = std::max(time, other + 1);
    }
    if (failure)
      throw error("cannot read the folder " + folder.string() + " (" + failure.message() +
                  "); create it before an event file");
    return time;
  }

  static std::string new_name(const std::filesystem::path& folder) {
    static std::atomic<unsigned> counter{0};
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) != 0 || host[0] == '\0') host[0] = '-';
    std::string machine(host.data());
    std::ranges::replace(machine, '/', '_');
    std::array<char, 24> seconds{};
    std::snprintf(seconds.data(), seconds.size(), "%010lld",
                  static_cast<long long>(new_time(folder)));
    return std::string(prefix) + seconds.data() + "." + machine + "." + std::to_string(::getpid()) +
           "." + std::to_string(counter++);
  }

  static void put_number(std::vector<std::byte>& to, std::uint64_t number, int count) {
    for (int i = 0; i < count; ++i) to.push_back(static_cast<std::byte>(number >> 8 * i & 0xFF));
  }

  void append(std::span<const std::byte> content) {
    std::vector<std::byte> record;
    record.reserve(content.size() + 16);
    put_number(record, content.size(), 8);
    put_number(record, masked_crc32c(record), 4);
    record.insert(record.end(), content.begin(), content.end());
    put_number(record, masked_crc32c(content), 4);
    if (!append_all(handle_.get(), record)) throw write_error("write", path_, errno);
  }

  std::filesystem::path path_;
  file_handle handle_;
};

}  // namespace gantry::io
