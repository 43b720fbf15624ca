// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "gantry/concepts/communicator.hpp"

/// A world that somebody else owns, so that it can be asked after a run.
template <gantry::World W>
class borrowed_world {
 public:
  using communicator_type = typename W::communicator_type;
  explicit borrowed_world(W& world) : world_(&world) {}
  [[nodiscard]] gantry::rank_t size() const noexcept { return world_->size(); }
  [[nodiscard]] decltype(auto) pool() const noexcept { return world_->pool(); }
  void run(auto&& f) { world_->run(f); }

 private:
  W* world_;
};
