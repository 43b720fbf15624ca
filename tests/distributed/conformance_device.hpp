// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The contract of messages whose values lie on a device, for every transport that takes them.
#pragma once

#include <array>
#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/concepts/communicator.hpp"
#include "gantry/dist/device_exchange.hpp"

#include "distributed/conformance.hpp"

namespace gantry::conformance {

/// A device whose memory is the host's; counts what is copied to the host.
struct counting_device : backend::reference<float> {
  static constexpr bool on_device = true;
  struct message_memory : std::vector<float> {
    using std::vector<float>::vector;
  };
  std::size_t downloaded = 0;
  [[nodiscard]] static device_queue queue() { return {}; }  // its work has ended
  void download(const float* from, std::span<float> to) {
    downloaded += to.size();
    backend::reference<float>::download(from, to);
  }
};

/// Values of a rank in two places of its device.
class scattered {
 public:
  static constexpr std::size_t size = 7;

  [[nodiscard]] device_parts parts() const { return parts_; }
  void fill(rank_t of) {
    std::iota(a_.begin(), a_.end(), static_cast<float>(100 * of));
    std::iota(b_.begin(), b_.end(), static_cast<float>(100 * of) + 3);
  }
  [[nodiscard]] bool is_of(rank_t of) const {
    scattered other;
    other.fill(of);
    return a_ == other.a_ && b_ == other.b_;
  }

 private:
  values_type a_ = values_type(3), b_ = values_type(size - 3);
  std::array<std::span<float>, 2> parts_{a_, b_};
};

/// Between devices, between a device and a host, and to a rank that has left.
template <class Make>
void device_messages(Make make, int size) {
  auto world = make(size);
  world.run([size](auto& comm) {
    const rank_t own = comm.rank();
    const auto next = static_cast<rank_t>((own + 1) % size);
    const auto before = static_cast<rank_t>((own + size - 1) % size);
    scattered values;
    values.fill(own);
    REQUIRE(comm.takes_device_memory());
    CHECK(
        comm.exchange_device(message::discriminator, values.parts(), next, values.parts(), before));
    CHECK(values.is_of(before));
    CHECK(comm.exchange_device(message::discriminator, values.parts(), own, values.parts(), own));
    CHECK(values.is_of(before));
    CHECK(comm.statistics().sent[message::discriminator] == tally{1, 4 * scattered::size});
    CHECK(comm.statistics().received == comm.statistics().sent);
    if (own == 1) {
      values.fill(1);
      comm.send_device(message::model, values.parts(), 0);
      values.fill(7);  // what was sent does not change with it
      CHECK(comm.receive_device(message::model, values.parts(), 0));
      CHECK(values.is_of(0));
      comm.leave();
    } else if (own == 0) {
      values_type all(scattered::size), expected(all);
      CHECK(comm.receive(message::model, all, 1));
      std::iota(expected.begin(), expected.end(), 100.0f);
      CHECK(all == expected);
      std::iota(all.begin(), all.end(), 0.0f);
      comm.send(message::model, all, 1);
      CHECK_FALSE(comm.receive_device(message::model, values.parts(), 1));
      CHECK(values.is_of(before));
      comm.send_device(message::model, values.parts(), 1);
    }
  });
}

/// Discriminators change places around a ring, whether the transport takes the device's memory or
/// not; the host sees them only where it does not.
template <class Make>
void discriminators_change_places(Make make, int size, bool by_pointer) {
  auto world = make(size);
  world.run([size, by_pointer](auto& comm) {
    const auto next = static_cast<rank_t>((comm.rank() + 1) % size);
    const auto before = static_cast<rank_t>((comm.rank() + size - 1) % size);
    counting_device b;
    scattered values;
    values.fill(comm.rank());
    values_type room(scattered::size);
    CHECK(dist::exchange_discriminators(b, comm, values.parts(), room, next, before));
    CHECK(values.is_of(before));
    CHECK(b.downloaded == (by_pointer ? 0 : scattered::size));
    CHECK(comm.statistics().sent.total() == tally{1, 4 * scattered::size});
  });
}

}  // namespace gantry::conformance
