// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <stdlib.h>

#include "gantry/io/progress.hpp"

#include "scratch.hpp"

namespace gantry::inline v0::io {
namespace {

using test::contains;

/// A progress that writes into a string and a clock that is set by hand.
struct bench {
  double now = 0;
  int columns = 200;
  std::string out;

  progress_options options(progress_mode mode) {
    progress_options o;
    o.mode = mode;
    o.write = [this](std::string_view text) { out += text; };
    o.seconds = [this] { return now; };
    o.columns = [this] { return columns; };
    return o;
  }
};

TEST_CASE("progress in a log writes plain lines, at most one per interval") {
  bench b;
  {
    progress p(1000, b.options(progress_mode::lines));
    for (int i = 0; i <= 1000; ++i) {
      b.now = i * 0.02;
      p.update(i, "loss " + std::to_string(i));
    }
  }
  CHECK(b.out ==
        "iteration 0/1000 (0%)  loss 0\n"
        "iteration 250/1000 (25%)  50.0 it/s  ETA 15s  loss 250\n"
        "iteration 500/1000 (50%)  50.0 it/s  ETA 10s  loss 500\n"
        "iteration 750/1000 (75%)  50.0 it/s  ETA 5s  loss 750\n"
        "iteration 1000/1000 (100%)  50.0 it/s  took 20s  loss 1000\n");
}

TEST_CASE("progress shows the last state of a run that stops early, once") {
  bench b;
  {
    progress p(100, b.options(progress_mode::lines));
    p.update(0);
    b.now = 1;
    p.update(7, "x");
    p.finish();
    p.finish();
  }
  CHECK(b.out == "iteration 0/100 (0%)\niteration 7/100 (7%)  7.0 it/s  ETA 13s  x\n");
}

TEST_CASE("progress estimates a resumed run from where it began") {
  bench b;
  progress p(1100, b.options(progress_mode::lines));
  p.update(1000);
  b.now = 100;
  p.update(1010);
  CHECK(contains(b.out, "iteration 1010/1100 (91%)  10.0 s/it  ETA 15m 00s"));
}

TEST_CASE("progress on a terminal overwrites one line and fits it to the width") {
  bench b;
  {
    progress p(10, b.options(progress_mode::status));
    p.update(0, "loss 1");
    b.now = 0.05;
    p.update(1, "too early");
    b.columns = 12;
    b.now = 1;
    p.update(2, "loss 2");
    p.note("worker 3 is lost");
  }
  CHECK(b.out ==
        "\r\x1b[K[>                   ] iteration 0/10 (0%)  loss 1"
        "\r\x1b[Kiteration 2"
        "\r\x1b[Kworker 3 is lost\n"
        "\r\x1b[Kiteration 2\n");
}

TEST_CASE("progress on a wide terminal has a bar") {
  bench b;
  progress p(10, b.options(progress_mode::status));
  p.update(0);
  const auto shown_at = [&](int iteration) {
    b.out.clear();
    b.now += 1;
    p.update(iteration);
    return b.out.substr(4, 22);
  };
  CHECK(shown_at(5) == "[==========>         ]");
  CHECK(shown_at(9) == "[==================> ]");
  CHECK(shown_at(10) == "[====================]");
  b.columns = 59;
  CHECK(shown_at(10).starts_with("iteration 10/10"));
}

TEST_CASE("progress cuts a line between characters") {
  bench b;
  b.columns = 25;
  progress p(10, b.options(progress_mode::status));
  p.update(0, "\u00e4\u00f6\u00fc");
  CHECK(b.out == "\r\x1b[Kiteration 0/10 (0%)  \u00e4\u00f6\u00fc");
  b.out.clear();
  b.columns = 23;
  b.now = 1;
  p.update(0, "\u00e4\u00f6\u00fc");
  CHECK(b.out == "\r\x1b[Kiteration 0/10 (0%)  \u00e4");
}

TEST_CASE("progress is silent when asked to be") {
  bench b;
  {
    progress p(10, b.options(progress_mode::quiet));
    p.update(0);
    p.note("x");
    p.update(10);
    p.finish();
  }
  CHECK(b.out.empty());
}

TEST_CASE("progress never writes control characters from the text") {
  bench b;
  progress p(10, b.options(progress_mode::lines));
  p.update(0, "a\nb\x1b[31m\x7f");
  p.note("c\rd");
  CHECK(b.out == "iteration 0/10 (0%)  a b [31m \nc d\n");
}

TEST_CASE("progress without a total shows no estimate") {
  bench b;
  progress p(0, b.options(progress_mode::lines));
  p.update(0);
  p.update(3, "too early");
  b.now = 10;
  p.update(5);
  CHECK(b.out == "iteration 0\niteration 5  2.0 s/it\n");
}

TEST_CASE("progress may be called from several threads") {
  bench b;
  {
    progress p(4000, b.options(progress_mode::lines));
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&p, t] {
        for (int i = 0; i < 200; ++i) p.note("thread " + std::to_string(t));
      });
    }
  }
  CHECK(std::count(b.out.begin(), b.out.end(), '\n') == 800);
}

TEST_CASE("durations are short") {
  CHECK(duration_text(0) == "0s");
  CHECK(duration_text(59.4) == "59s");
  CHECK(duration_text(59.6) == "1m 00s");
  CHECK(duration_text(3600 * 2 + 300) == "2h 05m");
  CHECK(duration_text(86400 * 3 + 3600 * 14) == "3d 14h");
  CHECK(duration_text(-1) == "--");
  CHECK(duration_text(0.0 / 0.0) == "--");
}

TEST_CASE("the mode is a moving line only on a capable terminal") {
  const auto saved = [](const char* name) {
    const char* text = ::getenv(name);
    return text ? std::optional<std::string>(text) : std::nullopt;
  };
  const auto restore = [](const char* name, const std::optional<std::string>& text) {
    text ? ::setenv(name, text->c_str(), 1) : ::unsetenv(name);
  };
  const auto term = saved("TERM"), no_colour = saved("NO_COLOR");
  const int terminal = ::posix_openpt(2);
  if (terminal < 0) {
    MESSAGE("no pseudo terminal here: the terminal cases are skipped");
  } else {
    ::setenv("TERM", "xterm", 1);
    ::unsetenv("NO_COLOR");
    CHECK(choose_progress_mode(false, terminal) == progress_mode::status);
    CHECK(choose_progress_mode(true, terminal) == progress_mode::quiet);
    ::setenv("NO_COLOR", "1", 1);
    CHECK(choose_progress_mode(false, terminal) == progress_mode::lines);
    ::unsetenv("NO_COLOR");
    ::setenv("TERM", "dumb", 1);
    CHECK(choose_progress_mode(false, terminal) == progress_mode::lines);
    ::unsetenv("TERM");
    CHECK(choose_progress_mode(false, terminal) == progress_mode::lines);
    ::close(terminal);
  }
  CHECK(choose_progress_mode(false, -1) == progress_mode::lines);
  restore("TERM", term);
  restore("NO_COLOR", no_colour);
}

}  // namespace
}  // namespace gantry::io
