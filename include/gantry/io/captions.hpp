// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Short texts in pictures, in a font of 3 x 5 pixels, and grids of samples with a text under each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "gantry/base/error.hpp"
#include "gantry/io/png.hpp"

namespace gantry::inline v0::io {

/// Rows of a letter from the top down, one octal digit each: 4 is the left pixel, 1 the right one.
/// Letters have one case; what the font lacks is a small box.
constexpr std::uint16_t glyph(char c) {
  constexpr std::uint16_t digits[] = {075557, 026227, 071747, 071717, 055711,
                                      074717, 074757, 071111, 075757, 075717};
  constexpr std::uint16_t letters[] = {025755, 065656, 034443, 065556, 074647, 074644, 034553,
                                       055755, 072227, 011152, 055655, 044447, 057755, 065555,
                                       025552, 065644, 025563, 065655, 034216, 072222, 055557,
                                       055552, 055775, 055255, 055222, 071247};
  if (c >= '0' && c <= '9') return digits[c - '0'];
  if (c >= 'a' && c <= 'z') return letters[c - 'a'];
  if (c >= 'A' && c <= 'Z') return letters[c - 'A'];
  switch (c) {
    case ' ':
      return 0;
    case '.':
      return 2;
    case ',':
      return 024;
    case ':':
      return 002020;
    case '-':
      return 000700;
    case '+':
      return 002720;
    case '=':
      return 007070;
    case '/':
      return 011244;
    case '_':
      return 7;
    case '(':
      return 024442;
    case ')':
      return 021112;
    default:
      return 007570;
  }
}

inline constexpr int glyph_width = 3, glyph_height = 5;

/// Writes one line with its top left corner at (left, top), each pixel of the font enlarged to
/// zoom x zoom; what does not fit into the picture is cut off.
inline void draw_text(raster& to, int left, int top, std::string_view text, int zoom = 1,
                      std::uint8_t ink = 0) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::uint16_t rows = glyph(text[i]);
    const int x0 = left + static_cast<int>(i) * (glyph_width + 1) * zoom;
    for (int y = 0; y < glyph_height * zoom; ++y)
      for (int x = 0; x < glyph_width * zoom; ++x) {
        const int bit = 3 * (glyph_height - 1 - y / zoom) + glyph_width - 1 - x / zoom;
        const int px = x0 + x, py = top + y;
        if ((rows >> bit & 1) == 0 || px < 0 || py < 0 || px >= to.width || py >= to.height)
          continue;
        const std::ptrdiff_t at = (std::ptrdiff_t{py} * to.width + px) * to.channels;
        std::fill_n(to.pixels.begin() + at, to.channels, ink);
      }
  }
}

/// image_grid() with a line of text under each image, cut off at the image's width.
/// @throws usage_error as image_grid(), and if there is not one caption per image
inline raster captioned_grid(std::span<const float> images, std::span<const std::string> captions,
                             grid_options o) {
  expects(std::cmp_equal(captions.size(), o.count),
          "a captioned grid needs one caption per image; give an empty one where none is wanted");
  constexpr int text_zoom = 2, margin = 3, strip = glyph_height * text_zoom + 2 * margin;
  if (o.columns == 0) o.columns = std::max(1, o.count);
  const raster plain = image_grid(images, o);
  const int cell_h = o.height * o.zoom + o.border, cell_w = o.width * o.zoom + o.border;
  const int rows = (o.count + o.columns - 1) / o.columns;
  raster grid{plain.width, plain.height + rows * strip, plain.channels, {}};
  const auto stride =
      static_cast<std::size_t>(plain.width) * static_cast<std::size_t>(plain.channels);
  grid.pixels.assign(stride * static_cast<std::size_t>(grid.height), o.background);
  for (int y = 0; y < plain.height; ++y) {
    const int row = y / cell_h;  // strips above this line
    std::copy_n(plain.pixels.begin() + static_cast<std::ptrdiff_t>(stride) * y, stride,
                grid.pixels.begin() + static_cast<std::ptrdiff_t>(stride) * (y + row * strip));
  }
  const auto fitting = static_cast<std::size_t>(
      std::max(0, (o.width * o.zoom + text_zoom) / ((glyph_width + 1) * text_zoom)));
  for (int i = 0; i < o.count; ++i) {
    const int row = i / o.columns;
    draw_text(grid, o.border + i % o.columns * cell_w, (row + 1) * cell_h + row * strip + margin,
              std::string_view(captions[static_cast<std::size_t>(i)]).substr(0, fitting),
              text_zoom);
  }
  return grid;
}

}  // namespace gantry::io
