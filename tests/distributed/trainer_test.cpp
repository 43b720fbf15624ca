// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <limits>
#include <string>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/comm/in_process.hpp"
#include "gantry/dist/md_gan.hpp"
#include "gantry/dist/standalone.hpp"
#include "gantry/train/resume_seats.hpp"
#include "gantry/train/trainer.hpp"

#include "support/toy_gan.hpp"

namespace {

using namespace gantry;
using dist::md_gan;
using dist::standalone;
using cpu = backend::cpu;
namespace fs = std::filesystem;

/// A folder of its own for each test, removed at the end.
struct scratch_folder {
  fs::path path = fs::temp_directory_path() / ("gantry-trainer-" + std::to_string(::getpid()));
  scratch_folder() { fs::remove_all(path), fs::create_directories(path); }
  ~scratch_folder() { fs::remove_all(path); }
};

template <class S = md_gan, class T = toy::adam_gan, class Source = toy::noise_source>
train::run_result train_toy(train::run_options options, int workers = 3,
                            const typename S::config& config = {},
                            std::vector<Source> sources = toy::noise_sources(3, 12)) {
  sources.erase(sources.begin() + workers, sources.end());
  auto world = comm::in_process(S::has_server ? workers + 1 : 1, 2);
  return train::run<S, cpu>(world, common_config<T>{.seed = 5, .batch = 4}, config,
                            std::move(sources), options);
}

class broken_source {
 public:
  void read(std::uint32_t step, std::span<float> out, int) {
    std::ranges::fill(out, step < 3 ? 0.5f : std::numeric_limits<float>::quiet_NaN());
  }
  [[nodiscard]] std::int64_t size() const { return 12; }
};

void flip_byte(const fs::path& file) {
  auto bytes = io::read_file(file);
  bytes[bytes.size() / 2] ^= std::byte{1};
  io::write_file_atomic(file, bytes);
}

}  // namespace

TEST_CASE(
    "equal seeds give the same checkpoint, and a resumed run the one of a run that never stopped") {
  const scratch_folder a;
  const fs::path one = a.path / "one", two = a.path / "two", parts = a.path / "parts";
  const md_gan::config config{.k = 2, .swap_every = dist::iterations(3), .moments_travel = true};
  for (const auto& p : {one, two, parts}) fs::create_directories(p);
  const auto whole = train_toy({.iterations = 11, .checkpoints = one}, 3, config);
  CHECK(whole.iterations == 11);
  CHECK(whole.checkpoint_hash.size() == 64);
  CHECK(whole.checkpoint_hash ==
        train_toy({.iterations = 11, .checkpoints = two, .save_every = 4}, 3, config)
            .checkpoint_hash);
  train_toy({.iterations = 5, .checkpoints = parts}, 3, config);
  const auto half = train::latest_checkpoint(parts);
  REQUIRE(half);
  CHECK(half->filename() == "network-snapshot-000005");
  const auto rest =
      train_toy({.iterations = 11, .checkpoints = parts, .resume_from = *half}, 3, config);
  CHECK(rest.checkpoint_hash == whole.checkpoint_hash);
}

TEST_CASE("a standalone run resumes bit for bit too") {
  const scratch_folder root;
  const auto whole = train_toy<standalone>({.iterations = 7, .checkpoints = root.path}, 1);
  train_toy<standalone>({.iterations = 4, .checkpoints = root.path / "p"}, 1);
  const auto rest =
      train_toy<standalone>({.iterations = 7,
                             .checkpoints = root.path / "p",
                             .resume_from = root.path / "p" / "network-snapshot-000004"},
                            1);
  CHECK(rest.checkpoint_hash == whole.checkpoint_hash);
}

TEST_CASE("a run resumes without the worker that had stopped") {
  const scratch_folder root;
  // The smallest shard is that of the worker that stops: it must go on deciding when to swap.
  const std::vector<toy::noise_source> sources{{12, 0}, {8, 1}, {12, 2}};
  const auto part = [&](std::uint32_t iterations, const char* folder, bool resume) {
    train::run_options options{.iterations = iterations, .checkpoints = root.path / folder};
    if (resume)
      options.resume_from = root.path / folder / "network-snapshot-000006";
    else
      options.stops = {{2, 3}};
    return train_toy(options, 3, {.swap_every = dist::epochs(1)}, sources);
  };
  const auto whole = part(9, "whole", false);
  CHECK(whole.live_workers == 2);
  part(6, "parts", false);
  const fs::path half = root.path / "parts" / "network-snapshot-000006";
  CHECK_FALSE(fs::exists(half / "discriminator-2.safetensors"));
  CHECK(part(9, "parts", true).checkpoint_hash == whole.checkpoint_hash);
}

TEST_CASE("who takes whose place when there are more workers, fewer, or lost ones again") {
  using train::resume_seats;
  using seats = std::vector<int>;
  CHECK(resume_seats({true, false, true}, 3, false) == seats{1, 0, 3});
  CHECK(resume_seats({true, false, true}, 3, true) == seats{1, 3, 3});
  CHECK(resume_seats({true, false, true}, 2, false) == seats{1, 3});
  CHECK(resume_seats({true, false, true}, 1, false) == seats{1});
  CHECK(resume_seats({true, false, true}, 5, false) == seats{1, 3, 1, 3, 1});
}

TEST_CASE("a run says what its nodes held, and MD-GAN's server needs no more for more workers") {
  const auto train_with = [](int workers) {
    return train_toy({.iterations = 2}, workers, {.k = 2}, toy::noise_sources(8, 12));
  };
  const auto two = train_with(2), eight = train_with(8);
  const strategy_plan plan =
      md_gan::plan<toy::adam_gan, cpu, toy::noise_source>({.batch = 4}, {.k = 2}, 8);
  for (const auto& run : {two, eight}) {
    CHECK(run.lead_memory.total() == plan.lead_bytes - plan.lead_arenas.messages);
    CHECK(run.worker_memory.total() == plan.worker_bytes - plan.worker_arenas.messages);
    CHECK(run.lead_memory.parameters == plan.lead_arenas.parameters);
    CHECK(run.worker_memory.optimizer_state == plan.worker_arenas.optimizer_state);
  }
}

TEST_CASE("a requested stop saves what is done, and callbacks see every round") {
  const scratch_folder root;
  std::vector<std::uint32_t> seen;
  std::vector<float> latents(2 * 5, 0.1f), images(2 * 72);
  const auto result =
      train_toy({.iterations = 100,
                 .on_start = [&](const train::round_view& v) { CHECK(v.iteration == 0); },
                 .on_round =
                     [&](const train::round_view& v) {
                       seen.push_back(v.iteration);
                       v.sample(latents, images);
                       CHECK(std::isfinite(images[7]));
                     },
                 .stop_requested = [&] { return seen.size() == 4; },
                 .checkpoints = root.path});
  CHECK(result.stopped_early);
  CHECK(seen == std::vector<std::uint32_t>{1, 2, 3, 4});
  CHECK(fs::exists(root.path / "network-snapshot-000004" / "MANIFEST.json"));
}

TEST_CASE("a callback that looks at some rounds has seen all before a checkpoint and at the end") {
  const scratch_folder root;
  struct seen {
    std::uint32_t iteration;
    double d, g, score;
    bool operator==(const seen&) const = default;
  };
  const auto watch = [&](const char* folder, std::uint32_t every, std::vector<std::size_t>& calls) {
    std::vector<seen> all;
    train_toy<standalone>(
        {.iterations = 100,
         .on_round =
             [&](const train::round_view& v) {
               all.push_back({v.iteration, v.report.discriminator_loss, v.report.generator_loss,
                              v.report.signals[signal::score_fake]});
             },
         .looks = [every](std::uint32_t i,
                          std::span<const round_report>) { return i % every == 0; },
         .stop_requested = [&] { return calls.push_back(all.size()), calls.size() == 10; },
         .checkpoints = root.path / folder,
         .save_every = 7},
        1);
    return all;
  };
  std::vector<std::size_t> calls, late_calls;
  fs::create_directories(root.path / "a"), fs::create_directories(root.path / "b");
  const auto expected = watch("a", 1, calls), found = watch("b", 5, late_calls);
  CHECK(found == expected);
  CHECK(found.size() == 9);
  CHECK(found[0].d != found[1].d);
  CHECK(late_calls == std::vector<std::size_t>{0, 0, 0, 0, 0, 5, 5, 7, 7, 7});
  CHECK(train::latest_checkpoint(root.path / "b")->filename() == "network-snapshot-000009");
}

TEST_CASE("the best checkpoint outlives a resume without scores, and stays in its own folder") {
  const scratch_folder root;
  const fs::path here = root.path / "here", there = root.path / "there";
  const auto name = [](std::uint32_t i) { return fs::path(train::checkpoint_name(i)); };
  const auto part = [&](std::uint32_t iterations, const fs::path& to, const fs::path& from,
                        bool scores) {
    train::run_options options{.iterations = iterations,
                               .checkpoints = to,
                               .save_every = 1,
                               .resume_from = from,
                               .keep_checkpoints = 1};
    if (scores) options.score = [](std::uint32_t i) { return i == 2 ? 1.0 : 10.0 - i; };
    return train_toy<standalone>(options, 1);
  };
  REQUIRE(part(3, here, {}, true).best->iteration == 2);
  for (const std::uint32_t last : {4u, 5u}) {
    const auto result = part(last, here, here / name(last - 1), false);
    REQUIRE(result.best);
    CHECK(result.best->iteration == 2);
    CHECK(fs::exists(here / name(2)));
    CHECK_FALSE(fs::exists(here / name(last - 1)));
  }
  CHECK_FALSE(part(6, there, here / name(5), false).best);
  const auto result = part(8, there, here / name(5), true);
  REQUIRE(result.best);
  CHECK(result.best->iteration == 8);
  CHECK(result.best->score == 2.0);
  CHECK(fs::exists(there / name(8)));
}

TEST_CASE("sampling between rounds does not change the run") {
  const scratch_folder root;
  std::vector<float> latents(9 * 5, 0.1f), images(9 * 72);
  const auto plain = train_toy({.iterations = 5, .checkpoints = root.path / "a"});
  const auto sampled =
      train_toy({.iterations = 5,
                 .on_round = [&](const train::round_view& v) { v.sample(latents, images); },
                 .checkpoints = root.path / "b"});
  CHECK(plain.checkpoint_hash == sampled.checkpoint_hash);
}

TEST_CASE("the nodes of a process and their layers compute on one pool") {
  const fs::path threads("/proc/self/task");
  if (!fs::exists(threads)) {
    MESSAGE("skipped: this system does not list threads");
    return;
  }
  const auto count = [&] {
    return std::distance(fs::directory_iterator(threads), fs::directory_iterator());
  };
  const auto before = count();
  std::ptrdiff_t most = 0;
  train_toy({.iterations = 3, .on_round = [&](const train::round_view&) {
               most = std::max<std::ptrdiff_t>(most, count());
             }});
  CHECK(most == before + 3 + 1);  // a thread per worker, and one helper for two permits
}

TEST_CASE("checkpoints that cannot be resumed are refused in a sentence") {
  const scratch_folder root;
  const io::json::object made{{"model", "toy"}, {"k", 1}};
  train_toy({.iterations = 3, .checkpoints = root.path, .configuration = made});
  const fs::path folder = root.path / "network-snapshot-000003";

  SUBCASE("other settings") {
    const io::json::object other{{"model", "toy"}, {"k", 2}};
    CHECK_THROWS_WITH_AS(
        train_toy({.iterations = 6, .resume_from = folder, .configuration = other}),
        doctest::Contains("made with k = 2 and was made with 1"), data_error);
  }
  SUBCASE("another network") {
    using wide = sequential<latent<5>, linear<72>, tanh_, reshape<6, 6, 2>>;
    using other =
        gan<wide, toy::conv_discriminator, loss::hinge, optim::adam, optim::ema<optim::adam>>;
    CHECK_THROWS_WITH_AS((train_toy<md_gan, other>({.iterations = 6, .resume_from = folder})),
                         doctest::Contains("generator.safetensors"), data_error);
  }
  SUBCASE("a damaged file") {
    flip_byte(folder / "discriminator-2.safetensors");
    CHECK_THROWS_WITH_AS(train_toy({.iterations = 6, .resume_from = folder}),
                         doctest::Contains("it is damaged"), data_error);
  }
  SUBCASE("a cut file") {
    fs::resize_file(folder / "generator.safetensors",
                    fs::file_size(folder / "generator.safetensors") - 5);
    CHECK_THROWS_WITH_AS(train_toy({.iterations = 6, .resume_from = folder}),
                         doctest::Contains("generator.safetensors"), data_error);
  }
  SUBCASE("a missing file") {
    fs::remove(folder / "generator-optimizer.safetensors");
    CHECK_THROWS_AS(train_toy({.iterations = 6, .resume_from = folder}), data_error);
  }
  SUBCASE("no checkpoint at all") {
    CHECK_THROWS_WITH_AS(train_toy({.iterations = 6, .resume_from = root.path / "nowhere"}),
                         doctest::Contains("MANIFEST.json"), data_error);
  }
}

TEST_CASE("a loss that is not finite ends the run and leaves no half-written checkpoint") {
  const scratch_folder root;
  CHECK_THROWS_WITH_AS((train_toy<md_gan, toy::adam_gan, broken_source>(
                           {.iterations = 9, .checkpoints = root.path, .save_every = 2}, 2, {},
                           std::vector<broken_source>(2))),
                       doctest::Contains("iteration 4 were expected to be finite"), numeric_error);
  CHECK(train::latest_checkpoint(root.path)->filename() == "network-snapshot-000002");
  for (const auto& entry : fs::directory_iterator(root.path))
    CHECK(entry.path().filename().string().find("partial") == std::string::npos);
}

TEST_CASE("a world of the wrong size is refused") {
  auto world = comm::in_process(2, 1);
  CHECK_THROWS_AS((train::run<md_gan, cpu>(world, common_config<toy::adam_gan>{.batch = 4}, {},
                                           toy::noise_sources(3, 12), {})),
                  usage_error);
  CHECK_THROWS_AS((train::run<md_gan, cpu>(world, common_config<toy::adam_gan>{.batch = 0}, {},
                                           toy::noise_sources(1, 12), {})),
                  usage_error);
}
