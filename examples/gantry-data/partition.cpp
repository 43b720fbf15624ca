// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "gantry/base/error.hpp"
#include "gantry/data/image_set.hpp"
#include "gantry/data/label_index.hpp"
#include "gantry/data/partition_spec.hpp"
#include "gantry/io/file.hpp"
#include "gantry/io/report.hpp"
#include "gantry/io/report_bars.hpp"

#include "commands.hpp"

namespace {

using namespace gantry;

/// A set with the labels of the images and a byte in place of each: a split reads no pixels.
std::shared_ptr<const data::image_set> labels_alone(const any_image_source& images,
                                                    const std::string& name) {
  data::image_set set{1, 1, 1, std::vector<std::uint8_t>(images.size()), {}, name, {}};
  if (images.classes() > data::most_labels)
    throw usage_error(name + " was expected to have at most 256 classes and has " +
                      std::to_string(images.classes()) + "; leave some of them out");
  if (images.classes() > 0)
    for (std::size_t i = 0; i < images.size(); ++i)
      set.labels.push_back(static_cast<std::uint8_t>(images.label(i)));
  return std::make_shared<const data::image_set>(std::move(set));
}

/// Samples of each label by worker; of a set without labels, all samples as one label.
std::vector<std::vector<std::uint64_t>> histograms(const std::vector<data::shard>& shards,
                                                   std::size_t classes) {
  if (classes > 0) return data::label_histograms(shards, classes);
  std::vector<std::vector<std::uint64_t>> sizes;
  for (const data::shard& s : shards) sizes.push_back({s.size()});
  return sizes;
}

/// One row per worker: its number, its samples, and how many of each label.
io::table table_of(const std::vector<std::vector<std::uint64_t>>& counts,
                   const std::vector<std::string>& names) {
  io::table t{"Samples of each worker", {"worker", "samples"}, {}};
  const bool labelled = !names.empty();
  if (labelled) t.header.push_back("divergence (nats)");
  for (const std::string& name : names) t.header.push_back(name);
  std::vector<std::uint64_t> global(counts.front().size());
  for (const auto& own : counts) std::ranges::transform(own, global, global.begin(), std::plus());
  for (std::size_t w = 0; w < counts.size(); ++w) {
    std::uint64_t samples = 0;
    for (const std::uint64_t n : counts[w]) samples += n;
    std::vector<std::string> row{std::to_string(w + 1), std::to_string(samples)};
    if (labelled) {
      char divergence[32];
      std::snprintf(divergence, sizeof divergence, "%.3f",
                    data::label_divergence(counts[w], global));
      row.emplace_back(divergence);
      for (const std::uint64_t n : counts[w]) row.push_back(std::to_string(n));
    }
    t.rows.push_back(std::move(row));
  }
  return t;
}

void print(const io::table& t) {
  std::vector<std::size_t> widths(t.header.size());
  const auto widen = [&](const std::vector<std::string>& row) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  };
  widen(t.header);
  for (const auto& row : t.rows) widen(row);
  const auto line = [&](const std::vector<std::string>& row) {
    for (std::size_t c = 0; c < row.size(); ++c)
      std::printf("%s%*s", c == 0 ? "" : "  ", static_cast<int>(widths[c]), row[c].c_str());
    std::printf("\n");
  };
  line(t.header);
  for (const auto& row : t.rows) line(row);
}

}  // namespace

std::string printable_name(std::string name) {
  std::ranges::replace_if(
      name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return name;
}

void preview_partition(const data_options& o) {
  const data::partition_spec spec = [&] {
    try {
      return data::parse_partition(o.partition);
    } catch (const usage_error& e) {
      throw usage_error(std::string("--partition: ") + e.what());
    }
  }();
  const picture_set pictures = open_pictures(o.path, o.settings.attribute);
  const auto set = labels_alone(pictures.images, o.path.string());
  const std::vector<data::shard> shards = data::partition(set, spec, o.workers, o.seed);
  std::vector<std::string> names;
  for (std::size_t c = 0; c < pictures.images.classes(); ++c)
    names.push_back(printable_name(pictures.images.class_name(c)));
  const auto counts = histograms(shards, names.size());

  io::report page;
  page.title = "Split of " + o.path.filename().string();
  page.subtitle =
      o.partition + ", " + std::to_string(o.workers) + " workers, seed " + std::to_string(o.seed);
  page.tables.push_back(table_of(counts, names));
  io::bar_chart chart{.title = names.empty() ? "Samples of each worker" : "Labels of each worker",
                      .x_label = "worker",
                      .y_label = "samples",
                      .part_label = names.empty() ? "all" : "label",
                      .parts = names.empty() ? std::vector<std::string>{"samples"} : names};
  for (std::size_t w = 0; w < counts.size(); ++w)
    chart.bars.push_back({std::to_string(w + 1), {counts[w].begin(), counts[w].end()}});
  page.data.push_back(std::move(chart));
  io::require_writable_directory(o.outdir, "--outdir");
  io::write_report(o.outdir / "partition.html", page);
  print(page.tables.front());
  std::printf("page: %s\n", (o.outdir / "partition.html").c_str());
}
