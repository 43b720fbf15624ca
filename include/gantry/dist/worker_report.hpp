// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include "gantry/concepts/strategy.hpp"

namespace gantry::inline v0::dist {

/// What a worker tells its server behind its contribution to a round.
struct worker_report {
  using message_type = std::array<float, 2 + phase_names.size()>;
  double discriminator_loss{}, generator_loss{};
  phase_times times{};

  [[nodiscard]] message_type pack() const {
    message_type m{static_cast<float>(discriminator_loss), static_cast<float>(generator_loss)};
    for (std::size_t p = 0; p < phase_names.size(); ++p)
      m[2 + p] = static_cast<float>(times.seconds[p]);
    return m;
  }
  static worker_report unpack(const message_type& m) {
    worker_report r{static_cast<double>(m[0]), static_cast<double>(m[1]), {}};
    for (std::size_t p = 0; p < phase_names.size(); ++p)
      r.times.seconds[p] = static_cast<double>(m[2 + p]);
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
  }
  /// Losses are NaN if those of no worker counted; nothing is written if none took part.
  void write(round_report& report) const {
    report.workers = workers_;
    if (workers_ == 0) return;
    report.discriminator_loss = sum_.discriminator_loss / losses_;
    report.generator_loss = sum_.generator_loss / losses_;
    report.worker = sum_.times;
    for (double& s : report.worker.seconds) s /= workers_;
  }

 private:
  worker_report sum_;
  int workers_{}, losses_{};
};

}  // namespace gantry::dist
