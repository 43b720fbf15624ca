// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// PNG files of any kind (ISO/IEC 15948) through libpng; link gantry::png. Nothing else includes
// this header: programs that need no strangers' images need no libpng.
#pragma once

#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string>

#include <png.h>

#include "gantry/concepts/image_source.hpp"
#include "gantry/io/refuse.hpp"

namespace gantry::inline v0::io {

/// One PNG file on its way through libpng; used through decode_png().
///
/// libpng leaves its functions by longjmp, which runs no destructors: each function that calls
/// setjmp has only trivial objects, and everything that must be freed is a member.
class png_decoder {
 public:
  png_decoder(std::span<const std::uint8_t> file, const std::string& name)
      : file_(file), name_(name) {
    png_ = ::png_create_read_struct(PNG_LIBPNG_VER_STRING, this, &failed, &ignore);
    if (png_ != nullptr) info_ = ::png_create_info_struct(png_);
    if (info_ == nullptr) {
      ::png_destroy_read_struct(&png_, &info_, nullptr);
      throw std::bad_alloc();
    }
  }
  png_decoder(const png_decoder&) = delete;
  png_decoder& operator=(const png_decoder&) = delete;
  ~png_decoder() { ::png_destroy_read_struct(&png_, &info_, nullptr); }

  void decode(std::int64_t most_pixels, image8& out) {
    if (!read_header()) refuse_damage();
    const std::int64_t width = ::png_get_image_width(png_, info_);
    const std::int64_t height = ::png_get_image_height(png_, info_);
    const std::string extents = std::to_string(width) + " x " + std::to_string(height) + " pixels";
    if (width > most_pixels / height)
      refuse_file(name_, "at most " + std::to_string(most_pixels) + " pixels", extents,
                  "make the image smaller");
    // One byte of deflate data yields at most 1032, so a small file cannot claim much memory.
    const auto bits = std::int64_t{::png_get_bit_depth(png_, info_)} *
                      std::int64_t{::png_get_channels(png_, info_)};
    if (height * ((width * bits + 7) / 8) > 1032 * static_cast<std::int64_t>(file_.size()))
      refuse_file(name_, "data for " + extents,
                  "only " + std::to_string(file_.size()) + " bytes of file", "copy it again");
    if (!set_conversions()) refuse_damage();
    out.height = static_cast<int>(height);
    out.width = static_cast<int>(width);
    out.channels = ::png_get_channels(png_, info_);
    const std::size_t row = ::png_get_rowbytes(png_, info_);
    out.pixels.resize(static_cast<std::size_t>(height) * row);
    if (!read_pixels(out.pixels, row)) refuse_damage();
  }

 private:
  [[noreturn]] static void failed(png_structp png, png_const_charp message) {
    auto* self = static_cast<png_decoder*>(::png_get_error_ptr(png));
    std::strncpy(self->message_.data(), message, self->message_.size() - 1);
    ::png_longjmp(png, 1);
  }
  static void ignore(png_structp, png_const_charp) {}

  static void take(png_structp png, png_bytep to, std::size_t count) {
    auto* self = static_cast<png_decoder*>(::png_get_io_ptr(png));
    if (count > self->file_.size() - self->at_) ::png_error(png, "the file ends too early");
    std::memcpy(to, self->file_.data() + self->at_, count);
    self->at_ += count;
  }

  [[nodiscard]] bool read_header() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    ::png_set_user_limits(png_, 0x7FFFFFFF, 0x7FFFFFFF);  // most_pixels says it better
    ::png_set_read_fn(png_, this, &take);
    ::png_read_info(png_, info_);
    return true;
  }

  /// 8 bits, grey or colour, no transparency: what convert("RGB") of PIL makes of a file.
  [[nodiscard]] bool set_conversions() {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    ::png_set_scale_16(png_);
    if (::png_get_color_type(png_, info_) == PNG_COLOR_TYPE_PALETTE)
      ::png_set_palette_to_rgb(png_);
    else if (::png_get_bit_depth(png_, info_) < 8)
      ::png_set_expand_gray_1_2_4_to_8(png_);
    ::png_set_strip_alpha(png_);
    passes_ = ::png_set_interlace_handling(png_);
    ::png_read_update_info(png_, info_);
    const int channels = ::png_get_channels(png_, info_);
    if (::png_get_bit_depth(png_, info_) != 8 || (channels != 1 && channels != 3))
      ::png_error(png_, "an unknown kind of pixels");
    return true;
  }

  /// png_read_image without its table of rows, which is many times a thin image.
  [[nodiscard]] bool read_pixels(std::span<png_byte> pixels, std::size_t row) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    for (int pass = 0; pass < passes_; ++pass)
      for (std::size_t at = 0; at < pixels.size(); at += row)
        ::png_read_row(png_, pixels.data() + at, nullptr);
    ::png_read_end(png_, nullptr);
    return true;
  }

  [[noreturn]] void refuse_damage() const {
    refuse_file(name_, "an intact PNG file", "damage (" + printable(message_.data()) + ")",
                "copy it again");
  }

  std::span<const std::uint8_t> file_;
  const std::string& name_;
  std::size_t at_{};
  png_structp png_{};
  png_infop info_{};
  int passes_{};
  std::array<char, 120> message_{};
};

/// Decodes a PNG file: 1 to 16 bits, grey, palette or colour, interlaced or not; transparency is
/// dropped. @throws data_error if it is damaged or larger than `most_pixels`
inline void decode_png(std::span<const std::uint8_t> file, const std::string& name,
                       std::int64_t most_pixels, image8& out) {
  png_decoder(file, name).decode(most_pixels, out);
}

}  // namespace gantry::io
