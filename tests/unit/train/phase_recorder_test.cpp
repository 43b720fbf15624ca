// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/dist/stopwatch.hpp"
#include "gantry/train/phase_recorder.hpp"

#include "unit/io/scratch.hpp"

namespace gantry::inline v0::train {
namespace {

using io::test::scratch_folder;

std::vector<io::json::value> lines(const std::filesystem::path& path) {
  std::vector<io::json::value> found;
  std::string text = io::read_text(path);
  for (std::size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1))
    found.push_back(io::json::parse(text.substr(0, end)));
  return found;
}

std::int64_t sum_of(const std::vector<io::json::value>& all, const char* key) {
  std::int64_t sum = 0;
  for (const auto& line : all) sum += line.at(key).as_int();
  return sum;
}

TEST_CASE("a stopwatch tells the listener of its thread, and nobody without one") {
  phase_times times;
  dist::stopwatch(times).lap(phase::data);
  CHECK(dist::phase_listener::current() == nullptr);
  const scratch_folder folder;
  {
    phase_recorder recorder(folder.path(), 2);
    CHECK(dist::phase_listener::current() == &recorder);
    dist::stopwatch watch(times);
    watch.lap(phase::wait);
    watch.lap(phase::discriminator);
    traffic t;
    t.sent[message::batch].bytes = 40;
    recorder.end_round(1, t);
  }
  CHECK(dist::phase_listener::current() == nullptr);
  const auto all = lines(folder / "phases-2.jsonl");
  REQUIRE(all.size() == 1);
  CHECK(all[0].at("iteration").as_int() == 1);
  CHECK(all[0].at("sent").at("batch").as_int() == 40);
  CHECK(all[0].at("end").as_double() >= all[0].at("begin").as_double());
  const auto& events = all[0].at("events").as_array();
  REQUIRE(events.size() == 3);
  for (const std::size_t i : {0u, 1u, 2u}) {
    CHECK(events[i].as_array()[0].as_string() ==
          std::vector<std::string>{"wait", "discriminator", "exchange"}[i]);
    CHECK(events[i].as_array()[1].as_int() <= events[i].as_array()[2].as_int());
  }
}

TEST_CASE("nothing is kept without a folder or in a round without phases") {
  const scratch_folder folder;
  phase_times times;
  {
    phase_recorder none({}, 0);
    dist::stopwatch(times).lap(phase::data);
    none.end_round(1, {});
    none.flush();
    CHECK(dist::phase_listener::current() == nullptr);
    phase_recorder idle(folder.path(), 0);
    idle.end_round(1, {});
    idle.flush();
  }
  CHECK(folder.files() == 0);
}

TEST_CASE("time that two watches book counts once") {
  using clock = dist::phase_listener::clock;
  const scratch_folder folder;
  phase_recorder recorder(folder.path(), 0);
  const auto start = clock::now();
  const auto at = [&](int ms) { return start + std::chrono::milliseconds(ms - 1000); };
  recorder.on_phase(phase::wait, at(0), at(10));
  recorder.on_phase(phase::data, at(20), at(30));  // inside the next one
  recorder.on_phase(phase::discriminator, at(10), at(50));
  recorder.on_phase(phase::generator, at(0), at(50));  // a second watch over all of it
  recorder.end_round(1, {});
  const auto line = lines(folder / "phases-0.jsonl").front();
  const auto& seconds = line.at("seconds");
  CHECK(seconds.at("wait").as_double() == doctest::Approx(0.010));
  CHECK(seconds.at("data").as_double() == doctest::Approx(0.010));
  CHECK(seconds.at("discriminator").as_double() == doctest::Approx(0.020));
  CHECK(seconds.as_object().find("generator") == nullptr);
  double total = 0;
  for (const auto& [name, s] : seconds.as_object().members()) total += s.as_double();
  CHECK(total <= line.at("end").as_double() - line.at("begin").as_double() + 1e-6);
}

TEST_CASE("a long run leaves few lines, which hold all of its rounds and bytes") {
  const scratch_folder folder;
  constexpr int rounds = 20000;
  {
    phase_recorder recorder(folder.path(), 1);
    traffic t;
    phase_times times;
    for (int i = 1; i <= rounds; ++i) {
      dist::stopwatch(times).lap(phase::discriminator);
      t.sent[message::feedback].bytes += 3;
      recorder.end_round(static_cast<std::uint32_t>(i), t);
    }
    recorder.flush();
    recorder.flush();
  }
  const auto all = lines(folder / "phases-1.jsonl");
  CHECK(all.size() < 200);
  CHECK(sum_of(all, "rounds") == rounds);
  CHECK(all.back().at("iteration").as_int() == rounds);
  std::int64_t bytes = 0, detailed = 0;
  for (const auto& line : all) {
    bytes += line.at("sent").at("feedback").as_int();
    detailed += line.as_object().find("events") != nullptr;
  }
  CHECK(bytes == 3 * rounds);
  CHECK(detailed == 16);
}

TEST_CASE("more ranks than a process may have descriptors") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit few = before;
  few.rlim_cur = 40;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  const scratch_folder root;
  std::vector<std::unique_ptr<phase_recorder>> ranks;
  for (int rank = 0; rank < 60; ++rank) {
    ranks.push_back(std::make_unique<phase_recorder>(root.path(), rank));
    const auto begin = phase_recorder::clock::now();
    ranks.back()->on_phase(phase::wait, begin, begin + std::chrono::milliseconds(1));
    ranks.back()->end_round(1, {});
  }
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  while (!ranks.empty()) ranks.pop_back();  // listeners of one thread end in reverse order
  CHECK(root.files() == 60);
}

TEST_CASE("a round of very many phases is only summed up") {
  const scratch_folder folder;
  {
    phase_recorder recorder(folder.path(), 0);
    phase_times times;
    dist::stopwatch watch(times);
    for (int i = 0; i < 300; ++i) {
      std::this_thread::sleep_for(std::chrono::microseconds(2));
      watch.lap(i % 2 == 0 ? phase::data : phase::wait);
    }
    recorder.end_round(1, {});
  }
  const auto line = lines(folder / "phases-0.jsonl").front();
  CHECK(line.as_object().find("events") == nullptr);
  CHECK(line.at("seconds").at("data").as_double() > 0);
}

}  // namespace
}  // namespace gantry::train
