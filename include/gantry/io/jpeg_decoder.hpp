// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// JPEG files (ITU-T T.81) through libjpeg-turbo; link gantry::jpeg. Nothing else includes this
// header: programs that need no strangers' images need no libjpeg.
#pragma once

#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

#include <jpeglib.h>
// After jpeglib.h, which it needs.
#include <jerror.h>

#include "gantry/concepts/image_source.hpp"
#include "gantry/io/refuse.hpp"

namespace gantry::inline v0::io {

/// One JPEG file on its way through libjpeg; used through decode_jpeg().
///
/// Errors leave libjpeg by longjmp, which runs no destructors: each function that calls setjmp has
/// only trivial objects, and everything that must be freed is a member.
class jpeg_decoder {
 public:
  jpeg_decoder(std::span<const std::uint8_t> file, const std::string& name)
      : file_(file), name_(name) {
    jpeg_.err = ::jpeg_std_error(&errors_);
    jpeg_.client_data = this;
    errors_.error_exit = &failed;
    errors_.emit_message = &warned;
    errors_.output_message = [](j_common_ptr) {};
    progress_.progress_monitor = &count_scans;
  }
  jpeg_decoder(const jpeg_decoder&) = delete;
  jpeg_decoder& operator=(const jpeg_decoder&) = delete;
  ~jpeg_decoder() { ::jpeg_destroy_decompress(&jpeg_); }

  void decode(std::int64_t most_pixels, image8& out) {
    if (!read_header()) refuse_damage();
    const std::int64_t width = jpeg_.image_width, height = jpeg_.image_height;
    if (width > most_pixels / height)
      refuse_file(name_, "at most " + std::to_string(most_pixels) + " pixels",
                  std::to_string(width) + " x " + std::to_string(height) + " pixels",
                  "make the image smaller");
    const J_COLOR_SPACE space = jpeg_.jpeg_color_space;
    if (space != JCS_GRAYSCALE && space != JCS_YCbCr && space != JCS_RGB)
      refuse_file(name_, "a grey or RGB JPEG image",
                  space == JCS_CMYK || space == JCS_YCCK ? "CMYK" : "another colour space",
                  "convert it to RGB");
    jpeg_.out_color_space = space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
    if (!start()) refuse_damage();
    out.height = static_cast<int>(height);
    out.width = static_cast<int>(width);
    out.channels = jpeg_.output_components;
    row_ = static_cast<std::size_t>(width) * static_cast<std::size_t>(out.channels);
    out.pixels.resize(static_cast<std::size_t>(height) * row_);
    if (!read_pixels(out.pixels.data())) refuse_damage();
  }

 private:
  static jpeg_decoder& self_of(j_common_ptr jpeg) {
    return *static_cast<jpeg_decoder*>(jpeg->client_data);
  }
  [[noreturn]] static void failed(j_common_ptr jpeg) {
    jpeg_decoder& self = self_of(jpeg);
    self.errors_.format_message(jpeg, self.message_.data());
    std::longjmp(self.jump_, 1);
  }
  /// libjpeg fills in grey for what is lost and only warns; a network must not learn that.
  static void warned(j_common_ptr jpeg, int level) {
    if (level >= 0) return;
    switch (jpeg->err->msg_code) {
      case JWRN_JPEG_EOF:
      case JWRN_HIT_MARKER:
      case JWRN_HUFF_BAD_CODE:
      case JWRN_ARITH_BAD_CODE:
      case JWRN_MUST_RESYNC:
        failed(jpeg);
      default:  // stray bytes between segments and the like: all pixels are there
        break;
    }
  }
  /// Thousands of scans of a small progressive file would take minutes.
  static void count_scans(j_common_ptr jpeg) {
    constexpr int most_scans = 100;
    if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number <= most_scans) return;
    jpeg_decoder& self = self_of(jpeg);
    std::snprintf(self.message_.data(), self.message_.size(), "more than %d scans", most_scans);
    std::longjmp(self.jump_, 1);
  }

  [[nodiscard]] bool read_header() {
    if (setjmp(jump_) != 0) return false;
    jpeg_create_decompress(&jpeg_);
    jpeg_.progress = &progress_;
    ::jpeg_mem_src(&jpeg_, file_.data(), static_cast<unsigned long>(file_.size()));
    ::jpeg_read_header(&jpeg_, TRUE);
    return true;
  }

  [[nodiscard]] bool start() {
    if (setjmp(jump_) != 0) return false;
    ::jpeg_start_decompress(&jpeg_);
    return true;
  }

  [[nodiscard]] bool read_pixels(JSAMPROW pixels) {
    if (setjmp(jump_) != 0) return false;
    while (jpeg_.output_scanline < jpeg_.output_height) {
      JSAMPROW row = pixels + jpeg_.output_scanline * row_;
      ::jpeg_read_scanlines(&jpeg_, &row, 1);
    }
    ::jpeg_finish_decompress(&jpeg_);
    return true;
  }

  [[noreturn]] void refuse_damage() const {
    refuse_file(name_, "an intact JPEG file", std::string("damage (") + message_.data() + ")",
                "copy it again");
  }

  std::span<const std::uint8_t> file_;
  const std::string& name_;
  std::size_t row_{};
  std::jmp_buf jump_{};
  jpeg_decompress_struct jpeg_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  std::array<char, JMSG_LENGTH_MAX> message_{};
};

/// Decodes a JPEG file, grey or RGB, baseline or progressive; the orientation in Exif data is not
/// applied. @throws data_error if it is damaged, CMYK or larger than `most_pixels`
inline void decode_jpeg(std::span<const std::uint8_t> file, const std::string& name,
                        std::int64_t most_pixels, image8& out) {
  jpeg_decoder(file, name).decode(most_pixels, out);
}

}  // namespace gantry::io
