// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <span>

#include "gantry/base/error.hpp"
#include "gantry/comm/any.hpp"
#include "gantry/comm/launcher.hpp"
#include "gantry/io/json.hpp"

#include "communication.hpp"
#include "gantry-train/transport.hpp"
#include "lines.hpp"

namespace {

using namespace gantry;
using communicator = comm::any_communicator;

/// Buffers of a rank, of the length of a message; `all` has one for each rank. `window` messages
/// are in flight where an operation has several.
struct buffers {
  std::vector<float> out, in, all;
  int window;
};

/// What the time of a call is that of.
enum class call_of { one_message, there_and_back, window, window_each_way };

/// One operation. `bus_factor` is what nccl-tests multiplies bytes / seconds with, so that the
/// result can be held against the speed of a link for any number of ranks.
struct operation {
  const char* name;
  double (*bus_factor)(int ranks);
  void (*run)(communicator&, buffers&);
  call_of what{call_of::one_message};

  /// Messages that follow each other in a call.
  [[nodiscard]] int messages(int window) const {
    if (what == call_of::there_and_back) return 2;
    return what == call_of::one_message ? 1 : window;
  }
};

double one(int) { return 1; }

/// A peer that has stopped is no part of a benchmark.
void must(bool received) {
  if (!received) throw workers_lost("every rank was expected to take part and one has stopped");
}

/// OSU's windows: so many messages of rank 0, and of rank 1 where both send, then a word that says
/// that all have come.
void send_window(communicator& c, buffers& b, bool each_way) {
  if (c.rank() > 1) return;
  const rank_t other = 1 - c.rank();
  const bool sends = each_way || c.rank() == 0, receives = each_way || c.rank() == 1;
  for (int i = 0; i < b.window && sends; ++i) c.send(message::model, b.out, other);
  for (int i = 0; i < b.window && receives; ++i) must(c.receive(message::model, b.in, other));
  std::array<float, 1> word{};
  if (receives) c.send(message::control, word, other);
  if (sends) must(c.receive(message::control, word, other));
}

const operation operations[] = {
    {"send", one,
     [](communicator& c, buffers& b) {
       if (c.rank() > 1) return;
       if (c.rank() == 0) c.send(message::model, b.out, 1);
       must(c.receive(message::model, b.in, 1 - c.rank()));
       if (c.rank() == 1) c.send(message::model, b.out, 0);
     },
     call_of::there_and_back},
    {"bw", one, [](communicator& c, buffers& b) { send_window(c, b, false); }, call_of::window},
    {"bibw", one, [](communicator& c, buffers& b) { send_window(c, b, true); },
     call_of::window_each_way},
    {"exchange", one,
     [](communicator& c, buffers& b) {
       const rank_t next = (c.rank() + 1) % c.size();
       const rank_t last = (c.rank() + c.size() - 1) % c.size();
       must(c.exchange(message::discriminator, b.out, next, b.in, last));
     }},
    {"broadcast", one,
     [](communicator& c, buffers& b) { must(c.broadcast(message::model, b.in, 0)); }},
    {"reduce", one, [](communicator& c, buffers& b) { c.reduce_sum(message::model, b.in, 0); }},
    {"all_reduce", [](int n) { return 2.0 * (n - 1) / n; },
     [](communicator& c, buffers& b) { c.all_reduce_sum(message::model, b.in); }},
    {"gather", [](int n) { return static_cast<double>(n - 1); },
     [](communicator& c, buffers& b) { c.gather(message::feedback, b.out, b.all, 0); }},
};

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// One call on all ranks at once: how long it took on this one.
double timed_call(communicator& c, const operation& op, buffers& b) {
  // Sums stay finite however often they are made.
  std::ranges::fill(b.in, 1.0f);
  c.barrier();
  const auto begin = std::chrono::steady_clock::now();
  op.run(c, b);
  return seconds_since(begin);
}

/// Sends are buffered, so a window of long messages takes memory.
int window_of(std::size_t bytes) {
  constexpr std::size_t messages = 64, room = std::size_t{1} << 26;
  return static_cast<int>(std::clamp<std::size_t>(room / bytes, 1, messages));
}

/// Seconds of each call, on rank 0, each by the rank that took longest. Empty elsewhere.
std::vector<double> times_of(communicator& c, const operation& op, std::size_t bytes,
                             double budget) {
  const std::size_t values = bytes / sizeof(float);
  const auto ranks = static_cast<std::size_t>(c.size());
  buffers b{std::vector<float>(values, 1.0f), std::vector<float>(values),
            std::vector<float>(c.rank() == 0 ? values * ranks : 0), window_of(bytes)};
  double once = 0;
  for (int warm_up = 0; warm_up < 3; ++warm_up) once = timed_call(c, op, b);
  std::vector<float> calls{
      static_cast<float>(std::clamp(budget / std::max(once, 1e-7), 5.0, 20000.0))};
  must(c.broadcast(message::control, calls, 0));
  std::vector<float> own(static_cast<std::size_t>(calls[0]));
  for (float& t : own) t = static_cast<float>(timed_call(c, op, b));
  std::vector<float> all(c.rank() == 0 ? own.size() * ranks : 0);
  c.gather(message::control, own, all, 0);
  std::vector<double> slowest(c.rank() == 0 ? own.size() : 0);
  for (std::size_t i = 0; i < slowest.size(); ++i)
    for (std::size_t r = 0; r < ranks; ++r)
      slowest[i] = std::max(slowest[i], static_cast<double>(all[r * own.size() + i]));
  return slowest;
}

io::json::object line_of(const communication_settings& s, const operation& op, int ranks) {
  return {{"impl", "gantry"}, {"transport", s.transport}, {"ranks", ranks}, {"op", op.name}};
}

void run_operation(communicator& c, const communication_settings& s, const operation& op) {
  std::vector<double> sizes, medians;
  for (std::size_t bytes = s.least; bytes <= s.most; bytes *= 4) {
    const std::vector<double> seconds = times_of(c, op, bytes, s.seconds);
    if (c.rank() != 0) continue;
    const double each = op.messages(window_of(bytes));
    sizes.push_back(static_cast<double>(bytes));
    medians.push_back(quantile(seconds, 0.5) / each);
    const double ways = op.what == call_of::window_each_way ? 2 : 1;
    const double gb_per_s = ways * static_cast<double>(bytes) / medians.back() / 1e9;
    io::json::object line = line_of(s, op, c.size());
    line.set("bytes", static_cast<std::int64_t>(bytes));
    line.set("calls", static_cast<std::int64_t>(seconds.size()));
    if (op.what == call_of::window || op.what == call_of::window_each_way)
      line.set("window", window_of(bytes));
    line.set("us", medians.back() * 1e6);
    line.set("us_p10", quantile(seconds, 0.1) / each * 1e6);
    line.set("us_p90", quantile(seconds, 0.9) / each * 1e6);
    line.set("gb_per_s", gb_per_s);
    line.set("bus_gb_per_s", gb_per_s * op.bus_factor(c.size()));
    print_line(line);
  }
  if (c.rank() != 0 || sizes.size() < 2) return;
  const message_cost cost = fitted_cost(sizes, medians);
  io::json::object line = line_of(s, op, c.size());
  line.set("fit", "latency + bytes / bandwidth");
  line.set("latency_us", cost.latency * 1e6);
  if (std::isfinite(cost.bandwidth)) line.set("bandwidth_gb_per_s", cost.bandwidth / 1e9);
  print_line(line);
}

}  // namespace

std::vector<std::string> communication_operations() {
  std::vector<std::string> names;
  for (const operation& op : operations) names.emplace_back(op.name);
  return names;
}

std::vector<std::string> transport_names() { return transport::names(); }

message_cost fitted_cost(const std::vector<double>& bytes, const std::vector<double>& seconds) {
  expects(bytes.size() == seconds.size() && bytes.size() >= 2,
          "a latency and a bandwidth were expected to be fitted to two sizes or more; widen "
          "--least and --most");
  // Minimise the sum of ((a + b x - t) / t)^2: two normal equations.
  double s0 = 0, s1 = 0, s2 = 0, r0 = 0, r1 = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const double w = 1 / (seconds[i] * seconds[i]);
    s0 += w;
    s1 += w * bytes[i];
    s2 += w * bytes[i] * bytes[i];
    r0 += w * seconds[i];
    r1 += w * bytes[i] * seconds[i];
  }
  const double determinant = s0 * s2 - s1 * s1;
  double latency = (r0 * s2 - r1 * s1) / determinant, slope = (s0 * r1 - s1 * r0) / determinant;
  if (!(latency >= 0)) {
    latency = 0;
    slope = r1 / s2;
  }
  if (!(slope > 0)) {
    latency = r0 / s0;
    slope = 0;
  }
  return {latency, slope > 0 ? 1 / slope : std::numeric_limits<double>::infinity()};
}

void run_communication(const communication_settings& settings) {
  if (settings.least > settings.most)
    throw usage_error("--least was expected to be at most --most and is " +
                      std::to_string(settings.least) + " against " + std::to_string(settings.most) +
                      "; swap them");
  program_options o;
  const int started = comm::discover_launch().size;
  const int ranks = settings.ranks > 0 ? settings.ranks : std::max(2, started);
  if (ranks < 2) throw usage_error("--ranks was expected to be 2 or more and is 1");
  o.strategy.workers = ranks - 1;
  const auto carrier = make_transport(settings.transport);
  comm::any_world world = carrier->world(o);
  world.run([&](communicator& c) {
    for (const operation& op : operations)
      if (settings.operations.empty() ||
          std::ranges::find(settings.operations, op.name) != settings.operations.end())
        run_operation(c, settings, op);
  });
}
