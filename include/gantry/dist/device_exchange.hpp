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

/// Parts of a backend's memory that together are one message.
template <Backend B>
using memory_parts = std::span<const std::span<typename B::scalar>>;

/// Copies parts into their message on the host, if that is the way they take.
template <Backend B, Communicator C>
void stage(B& b, const C& comm, memory_parts<B> parts, std::span<float> message) {
  if (shares_memory<B>(comm)) return;
  for (const std::span<typename B::scalar>& part : parts) {
    b.download(part.data(), message.first(part.size()));
    message = message.subspan(part.size());
  }
}
/// Copies a message that has come to the host to the parts, if that is the way it took.
template <Backend B, Communicator C>
void unstage(B& b, const C& comm, std::span<const float> message, memory_parts<B> parts) {
  if (shares_memory<B>(comm)) return;
  for (const std::span<typename B::scalar>& part : parts) {
    b.upload(message.first(part.size()), part.data());
    message = message.subspan(part.size());
  }
}
/// Sends parts in one message: from where they lie, behind what was launched on them and without a
/// wait for it, or what `stage` has made of them. To the receiver it is the same.
template <Backend B, Communicator C>
void send_parts(B& b, C& comm, message kind, memory_parts<B> parts, std::span<const float> staged,
                rank_t to) {
  if constexpr (HasDeviceMemory<B> && HasDeviceMessages<C>)
    if (shares_memory<B>(comm)) return comm.send_device(kind, parts, to, b.queue());
  comm.send(kind, staged, to);
}
/// Receives parts in one message: where they lie, or into `room`, for `unstage`. @returns whether
/// they have come; else they stay
template <Backend B, Communicator C>
bool receive_parts(B& b, C& comm, message kind, memory_parts<B> parts, std::span<float> room,
                   rank_t from) {
  if constexpr (HasDeviceMemory<B> && HasDeviceMessages<C>) {
    if (shares_memory<B>(comm)) {
      b.synchronize();  // what comes takes the place of values
      return comm.receive_device(kind, parts, from);
    }
  }
  return comm.receive(kind, room, from);
}

/// Passes the parts of a discriminator on in one message, and takes those of another in their
/// place; they stay if it has stopped. From device to device where backend and communicator share
/// memory, else through `room` on the host: the same message either way.
/// @returns whether another's came
template <Backend B, Communicator C>
bool exchange_discriminators(B& b, C& comm, memory_parts<B> parts, std::span<float> room, rank_t to,
                             rank_t from) {
  if constexpr (HasDeviceMemory<B> && HasDeviceMessages<C>) {
    if (shares_memory<B>(comm)) {
      b.synchronize();
      return comm.exchange_device(message::discriminator, parts, to, parts, from);
    }
  }
  stage(b, comm, parts, room);
  if (!comm.exchange(message::discriminator, room, to, room, from)) return false;
  unstage(b, comm, room, parts);
  return true;
}

}  // namespace gantry::dist
