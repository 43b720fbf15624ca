// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/data/image_set.hpp"
#include "gantry/data/packed.hpp"
#include "gantry/data/prefetch.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/png.hpp"
#include "gantry/io/progress.hpp"

#include "commands.hpp"

namespace {

using namespace gantry;

constexpr hwc sheet_image{64, 64, 3};
constexpr std::size_t sheet_side = 8, most_on_sheet = sheet_side * sheet_side;

/// What one image adds to the findings.
struct looked_at {
  hwc extents;
  std::vector<std::uint8_t> small;  ///< for the contact sheet, or empty
};

struct findings {
  hwc least{1 << 30, 1 << 30, 4}, most{0, 0, 0};
  std::vector<float> sheet;
  int on_sheet{};

  void add(const looked_at& one) {
    least = {std::min(least.h, one.extents.h), std::min(least.w, one.extents.w),
             std::min(least.c, one.extents.c)};
    most = {std::max(most.h, one.extents.h), std::max(most.w, one.extents.w),
            std::max(most.c, one.extents.c)};
    if (one.small.empty()) return;
    for (const std::uint8_t pixel : one.small) sheet.push_back(data::pixel_to_float[pixel]);
    ++on_sheet;
  }
};

/// Decodes every image; evenly spaced ones go onto the contact sheet.
findings look_at_all(const picture_set& pictures, const pack_settings& settings) {
  const any_image_source& images = pictures.images;
  const std::size_t step = (images.size() + most_on_sheet - 1) / most_on_sheet;
  data::prefetcher decoded(
      images.size(),
      [&images, step, fit = fitter_of(settings), picture = image8{}](std::size_t i) mutable {
        images.decode(i, picture);
        looked_at one{{picture.height, picture.width, picture.channels}, {}};
        if (i % step == 0) {
          one.small.resize(static_cast<std::size_t>(sheet_image.size()));
          fit(picture, sheet_image, std::span(one.small));
        }
        return one;
      },
      {.threads = settings.threads});
  io::progress_options how;
  how.mode = io::choose_progress_mode(settings.quiet);
  how.unit = "image";
  io::progress progress(static_cast<std::int64_t>(images.size()), how);
  progress.update(0);
  findings all;
  for (std::int64_t done = 1; const auto one = decoded.next(); ++done) {
    all.add(*one);
    progress.update(done);
  }
  return all;
}

void print_classes(const any_image_source& images) {
  if (images.classes() == 0) {
    std::printf("labels: none\n");
    return;
  }
  std::vector<std::size_t> counts(images.classes());
  for (std::size_t i = 0; i < images.size(); ++i) ++counts[images.label(i)];
  std::printf("classes: %zu\n", counts.size());
  constexpr std::size_t most_lines = 256;
  for (std::size_t c = 0; c < std::min(counts.size(), most_lines); ++c)
    std::printf("  %zu %s: %zu\n", c, printable_name(images.class_name(c)).c_str(), counts[c]);
  if (counts.size() > most_lines)
    std::printf("  and %zu more, too many for gantry-train, which takes 256\n",
                counts.size() - most_lines);
}

}  // namespace

void inspect(const data_options& o) {
  require_elsewhere(o.outdir, o.path);
  const picture_set pictures = open_pictures(o.path, o.settings.attribute);
  const findings all = look_at_all(pictures, o.settings);
  io::require_writable_directory(o.outdir, "--outdir");
  const io::raster sheet = io::image_grid(all.sheet, {.count = all.on_sheet,
                                                      .height = sheet_image.h,
                                                      .width = sheet_image.w,
                                                      .channels = sheet_image.c,
                                                      .columns = static_cast<int>(sheet_side)});
  io::write_png(o.outdir / "contact-sheet.png", sheet);
  std::printf("%s: %s\n", o.path.c_str(), pictures.format.c_str());
  std::printf("images: %zu, all decoded\n", pictures.images.size());
  if (all.least == all.most)
    std::printf("extents: %s\n", extents_text(all.most).c_str());
  else
    std::printf("extents: %s to %s\n", extents_text(all.least).c_str(),
                extents_text(all.most).c_str());
  print_classes(pictures.images);
  if (data::is_packed(o.path)) {
    const auto packed = data::open_packed(o.path);
    std::printf("SHA-256 of pixels and labels: %s\nmade from: %s\n", packed.contents().c_str(),
                packed.key().c_str());
  }
  std::printf("contact sheet: %s\n", (o.outdir / "contact-sheet.png").c_str());
}
