// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdio>

#include "gantry/base/error.hpp"
#include "gantry/io/progress.hpp"

#include "pack.hpp"

namespace {

namespace fs = std::filesystem;
using namespace gantry;

volatile std::sig_atomic_t caught_signal = 0;
extern "C" void on_signal_while_packing(int signal) { caught_signal = signal; }

/// Lets a signal end the packing with an exception, so that its temporary file is removed.
class interruptible {
 public:
  interruptible()
      : interrupt_(std::signal(SIGINT, on_signal_while_packing)),
        terminate_(std::signal(SIGTERM, on_signal_while_packing)) {
    caught_signal = 0;
  }
  interruptible(const interruptible&) = delete;
  interruptible& operator=(const interruptible&) = delete;
  ~interruptible() {
    std::signal(SIGINT, interrupt_);
    std::signal(SIGTERM, terminate_);
  }

  static void check(const fs::path& target) {
    if (caught_signal == 0) return;
    throw error("packing " + target.string() + " was stopped by signal " +
                    std::to_string(caught_signal) + " and has left no file; start it again",
                caught_signal == SIGTERM ? exit_code::terminated : exit_code::interrupted);
  }

 private:
  void (*interrupt_)(int);
  void (*terminate_)(int);
};

}  // namespace

std::string decimals(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string extents_text(hwc image) {
  return std::to_string(image.h) + " x " + std::to_string(image.w) + " x " +
         std::to_string(image.c);
}

data::image_fitter fitter_of(const pack_settings& settings) {
  return {data::parse_crop_rule(settings.crop), data::parse_resize_filter(settings.filter)};
}

train::pack_report pack(const picture_set& pictures, const pack_settings& settings,
                        const fs::path& target, const io::sha256::digest_type& key) {
  io::progress_options how;
  how.mode = io::choose_progress_mode(settings.quiet);
  how.unit = "image";
  const interruptible signals;
  io::progress progress(static_cast<std::int64_t>(pictures.images.size()), how);
  progress.update(0, "decoding");
  return train::pack_images(
      pictures.images, fitter_of(settings), target, key,
      {.image = settings.image,
       .queue = {.threads = settings.threads},
       .on_progress = [&](std::size_t done, const data::prefetch_counters& c) {
         interruptible::check(target);
         progress.update(static_cast<std::int64_t>(done),
                         "waited " + decimals(c.stall_seconds, 1) + " s for decoding");
       }});
}

std::string pack_text(const train::pack_report& r, hwc image) {
  return std::to_string(r.images) + " images of " + extents_text(image) +
         (r.classes > 0 ? " in " + std::to_string(r.classes) + " classes" : ", no labels") +
         ", packed in " + decimals(r.seconds, 2) + " s by " + std::to_string(r.decoding.threads) +
         (r.decoding.threads == 1 ? " thread" : " threads") + " (decoding and resizing " +
         decimals(r.decoding.work_seconds, 2) + " s in all, waited for " +
         decimals(r.decoding.stall_seconds, 2) + " s), SHA-256 " + r.contents;
}
