// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "gantry/concepts/device_queue.hpp"

namespace gantry::inline v0 {

/// Memory of a device for messages that are under way, as a transport takes it that knows pointers
/// alone. Only the thread of its rank uses it; others may only enter. @throws device_error
class device_room {
 public:
  virtual ~device_room() = default;
  /// Makes the device the calling thread's, for a transport that moves messages on in a thread.
  virtual void enter() const = 0;
  /// Memory for `count` floats.
  [[nodiscard]] virtual float* take(std::size_t count) = 0;
  virtual void give(float* memory, std::size_t count) noexcept = 0;
  /// What is copied later comes behind the work that is in that queue now.
  virtual void follow(device_queue work) = 0;
  /// Copies from one place of the device to another, and has ended when it returns.
  virtual void copy(std::span<const float> from, float* to) = 0;
};

/// A block of it, which grows to the largest message and stays.
class device_block {
 public:
  device_block() = default;
  explicit device_block(std::shared_ptr<device_room> room) : room_(std::move(room)) {}
  device_block(device_block&& other) noexcept { swap(other); }
  device_block& operator=(device_block&& other) noexcept {
    device_block(std::move(other)).swap(*this);
    return *this;
  }
  ~device_block() { reset(); }

  /// At least so many floats; what was in it is gone. @throws device_error
  std::span<float> reserve(std::size_t count) {
    if (count > size_) {
      reset();
      data_ = room_->take(count);
      size_ = count;
    }
    return {data_, count};
  }

 private:
  void swap(device_block& other) noexcept {
    std::swap(room_, other.room_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }
  void reset() noexcept {
    if (data_ != nullptr) room_->give(std::exchange(data_, nullptr), size_);
    size_ = 0;
  }

  std::shared_ptr<device_room> room_;
  float* data_{};
  std::size_t size_{};
};

}  // namespace gantry
