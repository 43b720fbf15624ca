// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "gantry/data/cifar.hpp"
#include "gantry/data/image_set.hpp"
#include "gantry/data/mnist.hpp"
#include "gantry/data/packed.hpp"
#include "gantry/io/installed_codecs.hpp"
#include "gantry/io/open_images.hpp"

#include "picture_set.hpp"

namespace {

namespace fs = std::filesystem;
using namespace gantry;

/// A set in memory, as if its images were encoded.
struct images_in_memory {
  std::shared_ptr<const data::image_set> set;
  std::vector<std::string> class_names;
  std::string file;

  [[nodiscard]] std::size_t size() const { return set->size(); }
  [[nodiscard]] std::size_t classes() const { return class_names.size(); }
  [[nodiscard]] std::uint16_t label(std::size_t i) const {
    return set->labels.empty() ? std::uint16_t{0} : set->labels[i];
  }
  [[nodiscard]] std::string class_name(std::size_t c) const { return class_names[c]; }
  [[nodiscard]] std::string name(std::size_t i) const { return file + ":" + std::to_string(i); }
  void decode(std::size_t i, image8& out) const {
    const auto pixels = set->image(i);
    out.height = set->height;
    out.width = set->width;
    out.channels = set->channels;
    out.pixels.assign(pixels.begin(), pixels.end());
  }
};

struct published_files {
  std::string_view format;
  std::vector<std::string> one_of;  ///< in the folder, if it is this set
  int classes;
  data::image_set (*read)(const fs::path&);
};

const std::array<published_files, 3>& published() {
  static const std::array<published_files, 3> all{
      {{"the training files of MNIST or Fashion-MNIST (IDX)",
        {"train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"},
        10,
        [](const fs::path& dir) { return data::mnist(dir); }},
       {"the training files of CIFAR-10 (binary)",
        {"data_batch_1.bin", "data_batch_1.bin.gz", "cifar-10-batches-bin"},
        10,
        [](const fs::path& dir) { return data::cifar10(dir); }},
       {"the training file of CIFAR-100 (binary)",
        {"train.bin", "train.bin.gz", "cifar-100-binary"},
        100,
        [](const fs::path& dir) { return data::cifar100(dir); }}}};
  return all;
}

picture_set from_memory(std::shared_ptr<const data::image_set> set,
                        std::vector<std::string> class_names, const fs::path& path,
                        std::string format) {
  return {any_image_source(images_in_memory{std::move(set), std::move(class_names), path.string()}),
          std::move(format)};
}

/// What open_images() has found at the path, in words.
std::string format_of(const fs::path& path) {
  std::error_code unreadable;
  if (fs::is_directory(path, unreadable)) return "a folder of images";
  const std::string ending = path.extension().string();
  return ending.empty() ? "a file of images" : "a " + ending.substr(1) + " file of images";
}

}  // namespace

picture_set open_pictures(const fs::path& path, const std::string& attribute) {
  std::error_code unreadable;
  if (!is_there(path))
    throw data_error(path.string() +
                     ": expected a folder of images, an archive of them or a packed file, found "
                     "nothing; check the path");
  const auto has = [&](const std::string& name) { return fs::exists(path / name, unreadable); };
  if (attribute.empty() && data::is_packed(path)) {
    data::packed_images packed = data::open_packed(path);
    return from_memory(packed.images, packed.class_names, path, "a packed file");
  }
  if (attribute.empty() && fs::is_directory(path, unreadable))
    for (const published_files& files : published()) {
      if (std::ranges::none_of(files.one_of, has)) continue;
      std::vector<std::string> names;
      for (int c = 0; c < files.classes; ++c) names.push_back(std::to_string(c));
      return from_memory(std::make_shared<const data::image_set>(files.read(path)),
                         std::move(names), path, std::string(files.format));
    }
  return {io::open_images(path, {.codecs = io::installed_codecs, .attribute = attribute}),
          format_of(path)};
}

std::vector<fs::path> parts_of(const fs::path& path) {
  return path.extension() == ".tar" ? io::expand_shards(path.string())
                                    : std::vector<fs::path>{path};
}

void require_elsewhere(const fs::path& outdir, const fs::path& data) {
  std::error_code failed;
  const fs::path outer = fs::canonical(data, failed);
  if (failed) return;  // who opens it says why
  const fs::path inner = fs::weakly_canonical(outdir, failed);
  if (!failed && std::ranges::mismatch(outer, inner).in1 == outer.end())
    throw usage_error("--outdir was expected to be outside of the images of " + data.string() +
                      " and " + outdir.string() + " is in there; name another one");
}

bool is_there(const fs::path& path) {
  return std::ranges::all_of(parts_of(path), [](const fs::path& part) {
    std::error_code unreadable;
    return fs::exists(part, unreadable);
  });
}

std::string missing_decoders() {
  const io::image_codecs codecs = io::installed_codecs;
  std::string missing, packages;
  const auto add = [&](bool there, const char* kind, const char* package) {
    if (there) return;
    missing += (missing.empty() ? "" : " and ") + std::string(kind);
    packages += (packages.empty() ? "" : " ") + std::string(package);
  };
  add(codecs.png != nullptr, "PNG", "libpng-dev");
  add(codecs.jpeg != nullptr, "JPEG", "libjpeg62-turbo-dev");
  return missing.empty() ? ""
                         : "this program was built without a decoder for " + missing +
                               "; run `apt-get install " + packages + "` and build it again";
}
