// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Flags of what is done to messages on their way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "gantry/comm/any.hpp"
#include "gantry/dist/privacy.hpp"
#include "gantry/io/json.hpp"

/// As they were written.
struct message_options {
  std::string filter{"none"}, filter_on{"uploads"};
  double keep{0.01};
  bool error_feedback{false};
  std::optional<double> noise;  ///< sigma of clip and noise on feedbacks
  double noise_clip{1};
  double delta{1e-5};  ///< at which the privacy of the noise is stated
  std::uint64_t noise_seed{0};
  [[nodiscard]] bool is_on() const { return filter != "none" || noise; }
};

namespace CLI {
class App;
}

void add_message_flags(CLI::App& app, message_options& o);

struct strategy_options;

/// @throws gantry::usage_error for flags that contradict each other, or a strategy whose messages
/// cannot take that form
void resolve_messages(const CLI::App& app, const message_options& o,
                      const strategy_options& strategy);

/// `world` with the filters of its ranks; samples have `sample_size` values.
gantry::comm::any_world with_filters(gantry::comm::any_world world, const message_options& o,
                                     std::size_t sample_size);

/// What the feedbacks of a whole run tell the server about a worker's samples, as GS-WGAN counts:
/// each sample of each feedback is a release, and every worker takes part in every iteration.
/// Networks that workers swap are not covered. Nothing without noise.
std::optional<gantry::dist::privacy_spent> privacy_of(const message_options& o,
                                                      std::uint32_t iterations, int batch);

void add_settings(gantry::io::json::object& all, const message_options& o);
