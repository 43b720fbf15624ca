// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>

#include "gantry/concepts/strategy.hpp"

namespace gantry::inline v0::dist {

/// What every worker's report ends in: where its time went, and what its discriminator saw.
inline constexpr std::size_t observed_size = phase_names.size() + signal_names.size();
inline void pack_observed(const phase_times& times, const learning_signals& signals,
                          std::span<float, observed_size> out) {
  const auto to_float = [](double x) { return static_cast<float>(x); };
  const auto rest = std::ranges::transform(times.seconds, out.begin(), to_float).out;
  std::ranges::transform(signals.values, rest, to_float);
}
inline void unpack_observed(std::span<const float, observed_size> in, phase_times& times,
                            learning_signals& signals) {
  std::ranges::copy(in.template first<phase_names.size()>(), times.seconds.begin());
  std::ranges::copy(in.template last<signal_names.size()>(), signals.values.begin());
}

/// What a worker tells its server behind its contribution to a round.
struct worker_report {
  using message_type = std::array<float, 2 + observed_size>;
  double discriminator_loss{}, generator_loss{};
  phase_times times{};
  learning_signals signals{};

  [[nodiscard]] message_type pack() const {
    message_type m{static_cast<float>(discriminator_loss), static_cast<float>(generator_loss)};
    pack_observed(times, signals, std::span(m).last<observed_size>());
    return m;
  }
  static worker_report unpack(const message_type& m) {
    worker_report r{static_cast<double>(m[0]), static_cast<double>(m[1]), {}, {}};
    unpack_observed(std::span(m).last<observed_size>(), r.times, r.signals);
    return r;
  }
  [[nodiscard]] bool is_finite() const {
    return std::isfinite(discriminator_loss) && std::isfinite(generator_loss);
  }
};

/// The means that a round_report holds of its workers.
class mean_of_workers {
 public:
  /// A worker took part; its losses count or not.
  void add(const worker_report& r, bool losses_count) {
    ++workers_;
    sum_.times += r.times;
    if (!losses_count) return;
    ++losses_;
    sum_.discriminator_loss += r.discriminator_loss;
    sum_.generator_loss += r.generator_loss;
    sum_.signals += r.signals;
  }
  /// Losses are NaN if those of no worker counted; nothing is written if none took part.
  void write(round_report& report) const {
    report.workers = workers_;
    if (workers_ == 0) return;
    report.discriminator_loss = sum_.discriminator_loss / losses_;
    report.generator_loss = sum_.generator_loss / losses_;
    report.worker = sum_.times;
    for (double& s : report.worker.seconds) s /= workers_;
    report.signals = sum_.signals;
    report.signals /= losses_;
  }

 private:
  worker_report sum_;
  int workers_{}, losses_{};
};

}  // namespace gantry::dist
