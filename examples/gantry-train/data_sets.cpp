// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "gantry/data/transform.hpp"
#include "gantry/train/data_hash.hpp"

#include "data_sets.hpp"
#include "gantry-data/pack.hpp"

namespace {

using namespace gantry;

/// Published files that have the names and sizes of others', by data_sha256.
struct published {
  std::string_view name, train, test;
};
constexpr std::array<published, 2> twins{
    {{"mnist", "edc0d1098aa497be14ace79ddd5171e5a3dcf9c4d196c015389203eb3ba1f59b",
      "c3f9adf9c66efb572b1f9326c3a511b45910c7173b97be66ceceeeeaef6b802b"},
     {"fashion-mnist", "16d82e2b505296aa2b78bd5ea0992634f30419a4c97def7c907d154a35ac6157",
      "9f1ec356a747bfe4ebab3cfb722d3694c9ca737e2570f6f90cf31d7b6fd689d4"}}};

/// "Fashion-MNIST train, 60000 images of 28 x 28 x 1, SHA-256 16d82e2b5052, from ...".
/// @throws data_error for the published files of another set
std::string checked_facts(const data::image_set& set, const std::string& name) {
  const std::string hash = train::data_sha256(set);
  for (const published& p : twins)
    if (p.name != name && (hash == p.train || hash == p.test))
      throw data_error(set.files.front().string() + ": expected the files of " + name +
                       ", found those of " + std::string(p.name) + "; use --data " +
                       std::string(p.name) + " or name another --data-dir");
  std::string files;
  for (const auto& file : set.files) files += (files.empty() ? "" : ", ") + file.string();
  return set.name + ", " + std::to_string(set.size()) + " images of " +
         extents_text({set.height, set.width, set.channels}) + ", SHA-256 " + hash.substr(0, 12) +
         ", from " + files;
}

/// Padded to 32 x 32, enlarged to 64 x 64, grey repeated for colour networks.
data_sets::pointer fit(const data_sets::pointer& published, hwc shape) {
  if (shape == hwc{published->height, published->width, published->channels}) return published;
  const data::image_set sized = shape.h == 32 ? data::pad_to(*published, shape.h, shape.w)
                                              : data::resize_bilinear(*published, shape.h, shape.w);
  return std::make_shared<const data::image_set>(data::to_channels(sized, shape.c));
}

/// Images at a path, mapped at the extents of the networks.
data_sets load_own(const program_options& o, hwc image) {
  require_elsewhere(o.outdir, o.data);
  std::filesystem::path cache = o.data_cache.empty() ? user_cache() : o.data_cache;
  if (cache.empty()) cache = o.outdir;
  fitted_pictures own = fit_pictures(
      o.data, {.image = image, .attribute = o.attribute, .threads = o.threads, .quiet = o.quiet},
      cache);
  const data::packed_images& packed = own.packed;
  data_sets sets{.train = packed.images,
                 .classes = static_cast<int>(packed.header.classes),
                 .own_sha256 = packed.contents()};
  sets.published_train = sets.train;
  sets.train_facts =
      std::to_string(packed.images->size()) + " images of " + extents_text(image) +
      (sets.classes > 0 ? " in " + std::to_string(sets.classes) + " classes" : ", no labels") +
      ", SHA-256 " + sets.own_sha256.substr(0, 12) + ", from " + o.data + ": " + own.note;
  return sets;
}

}  // namespace

bool is_published(const program_options& o) { return find_published(o.data) != nullptr; }

const published_set& chosen_data(const program_options& o) { return *find_published(o.data); }

std::string data_complaint(const std::string& text) {
  if (find_published(text) || is_there(text)) return {};
  return "expected one of " + published_names(", ") +
         " or the path of a folder or file of images, found \"" + text + "\"";
}

std::string features_complaint(const std::string& text) {
  if (text == "auto" || text == "lenet" || text == "untrained") return {};
  for (const std::string_view network : {"resnet20:", "inception:", "inception-tf1:"})
    if (text.starts_with(network) && text.size() > network.size()) return {};
  return "expected auto, lenet, untrained, resnet20:FILE, inception:FILE or inception-tf1:FILE, "
         "found \"" +
         text + "\"";
}

void require_labels(const program_options& o, const data_sets& sets, int classes_of_networks) {
  const auto refuse = [&](const std::string& expected, const std::string& remedy) {
    throw usage_error("--data was expected to have " + expected + ", and " + o.data + " has " +
                      (sets.classes > 0 ? std::to_string(sets.classes) + " classes" : "none") +
                      "; " + remedy);
  };
  const bool by_label = o.strategy.is<dist::label_parallel>();
  if ((classes_of_networks > 0 || by_label) && sets.classes == 0)
    refuse(
        "labels for " + (by_label ? "--strategy label_parallel" : o.model) + ", which reads them",
        "put the images of each class into a folder of their own or use another --" +
            std::string(by_label ? "strategy" : "model"));
  if (classes_of_networks > 0 && sets.classes != classes_of_networks)
    refuse(std::to_string(classes_of_networks) + " classes for " + o.model +
               ", which draws labels among so many",
           "use a data set of as many classes or a --model without labels");
  if (by_label && !is_published(o) && o.strategy.workers != sets.classes)
    refuse("a class for each of " + std::to_string(o.strategy.workers) +
               " workers of --strategy label_parallel",
           "give --workers " + std::to_string(sets.classes));
}

bool trains_classifier(const program_options& o, const data_sets& sets) {
  if (o.features == "untrained" || is_published(o)) return o.features != "untrained";
  constexpr std::size_t fewest = 20;  // a tenth of them measures the accuracy
  return sets.classes >= 2 && sets.classes <= (sets.train->channels == 1 ? 10 : 100) &&
         sets.train->size() >= fewest;
}

void require_features(const program_options& o, const data_sets& sets) {
  if (o.metrics != "fid" || o.features != "lenet" || trains_classifier(o, sets)) return;
  throw usage_error(
      "--features lenet was expected with 20 images or more in 2 to 10 classes (in colour 100), "
      "which it learns, and " +
      o.data + " has " + std::to_string(sets.train->size()) + " images in " +
      std::to_string(sets.classes) +
      "; put the images of each class into a folder of their own, leave --features out or give a "
      "file of weights");
}

void require_fitting_images(const program_options& o, hwc image) {
  if (!is_published(o)) return;  // those are resized to anything
  const hwc published = chosen_data(o).image;
  if (image.h < published.h || image.w < published.w || image.c < published.c)
    throw usage_error("--model was expected to make images of at least " + extents_text(published) +
                      " for --data " + o.data + " and " + o.model + " makes " +
                      extents_text(image) + "; use another --model, such as dcgan32");
}

data_sets load_data(const program_options& o, hwc image) {
  if (!is_published(o)) return load_own(o, image);
  const published_set& choice = chosen_data(o);
  const auto read = [&](data::split part) {
    return std::make_shared<const data::image_set>(choice.read(o.data_dir, part));
  };
  data_sets sets{.published_train = read(data::split::train),
                 .published_test = read(data::split::test),
                 .classes = choice.classes};
  sets.train_facts = checked_facts(*sets.published_train, choice.name);
  sets.test_facts = checked_facts(*sets.published_test, choice.name);
  sets.train = fit(sets.published_train, image);
  sets.test = fit(sets.published_test, image);
  return sets;
}
