// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>

#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0 {

/// What links and nodes cost, in seconds; asked by communicators that model time. All are pure
/// functions and may be called from several threads.
///   transfer_seconds(from, to, bytes)     how long a message occupies the link
///   latency(from, to)                     from the end of that to its arrival
///   shares_uplink(rank)                   whether all messages of that rank leave one after the
///                                         other; else each receiver has a link of its own
///   compute_seconds(rank, flops, number)  of that rank's call number 0, 1, ... of charge
template <class M>
concept LinkModel = std::copyable<M> &&
    requires(const M& m, rank_t rank, double amount, std::uint32_t number) {
  { m.transfer_seconds(rank, rank, amount) } -> std::same_as<double>;
  { m.latency(rank, rank) } -> std::same_as<double>;
  { m.shares_uplink(rank) } -> std::same_as<bool>;
  { m.compute_seconds(rank, amount, number) } -> std::same_as<double>;
};

}  // namespace gantry
