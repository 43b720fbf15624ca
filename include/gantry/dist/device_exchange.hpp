// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// How the memory of a backend enters a message.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "gantry/concepts/backend.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::dist {

namespace detail {

template <Backend B>
struct message_memory {
  using type = std::vector<float>;
};
template <Backend B>
requires requires { typename B::message_memory; }
struct message_memory<B> {
  using type = typename B::message_memory;
};

}  // namespace detail

/// Host memory for messages that go through it: such as the backend copies from and to fastest.
template <Backend B>
using message_memory = typename detail::message_memory<B>::type;

/// Whether messages are handed over where they lie in the backend's memory.
template <Backend B, Communicator C>
bool shares_memory(const C& comm) {
  if constexpr (HasDeviceMemory<B> && HasDeviceMessages<C>) return comm.takes_device_memory();
  return false;
}

/// Passes the parts of a discriminator on in one message, and takes those of another in their
/// place; they stay if it has stopped. From device to device where backend and communicator share
/// memory, else through `room` on the host: the same message either way.
/// @returns whether another's came
template <Backend B, Communicator C>
bool exchange_discriminators(B& b, C& comm, std::span<const std::span<typename B::scalar>> parts,
                             std::span<float> room, rank_t to, rank_t from) {
  if constexpr (HasDeviceMemory<B> && HasDeviceMessages<C>) {
    if (shares_memory<B>(comm)) {
      b.synchronize();
      return comm.exchange_device(message::discriminator, parts, to, parts, from);
    }
  }
  std::size_t at = 0;
  for (const std::span<typename B::scalar>& part : parts) {
    b.download(part.data(), room.subspan(at, part.size()));
    at += part.size();
  }
  if (!comm.exchange(message::discriminator, room, to, room, from)) return false;
  at = 0;
  for (const std::span<typename B::scalar>& part : parts) {
    b.upload(room.subspan(at, part.size()), part.data());
    at += part.size();
  }
  return true;
}

}  // namespace gantry::dist
