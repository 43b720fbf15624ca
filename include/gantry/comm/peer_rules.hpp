// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What every transport says of wrong peers and messages, and how a rank's work may end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <span>
#include <string>
#include <string_view>

#include "gantry/base/error.hpp"
#include "gantry/concepts/communicator.hpp"

namespace gantry::inline v0::comm::detail {

inline std::string describe(message kind, std::size_t count, const network_part& part = {}) {
  return "a " + std::string(message_name(kind)) + " message of " + std::to_string(count) +
         " values" +
         (part.network.empty() ? std::string()
                               : " (the " + std::string(part.network) + " from layer " +
                                     std::to_string(part.layer) + " on)");
}

[[noreturn]] inline void throw_no_such_rank(rank_t own, rank_t size, std::string_view what,
                                            rank_t peer) {
  throw usage_error("rank " + std::to_string(own) + " expected the peer of " + std::string(what) +
                    " to be another rank below " + std::to_string(size) + ", found " +
                    std::to_string(peer) + "; name a rank of the world");
}

/// @throws usage_error if `peer` is not another rank of the world
inline void require_peer(rank_t own, rank_t size, std::string_view what, rank_t peer) {
  if (peer < 0 || peer >= size || peer == own) throw_no_such_rank(own, size, what, peer);
}

/// @throws error: another message came than the one that was expected
[[noreturn]] inline void throw_other_message(rank_t own, const std::string& expected, rank_t from,
                                             const std::string& found) {
  throw error("rank " + std::to_string(own) + " expected " + expected + " from rank " +
              std::to_string(from) + ", found " + found + "; make both ranks follow one protocol");
}

/// An exchange of a rank with itself needs two spans of one length. @throws error
inline void require_same_length(rank_t own, message kind, std::size_t out, std::size_t in) {
  if (out != in)
    throw error("rank " + std::to_string(own) + " expected " + describe(kind, in) +
                " from itself, found " + describe(kind, out) +
                "; give exchange two spans of one length");
}
inline void exchange_with_itself(rank_t own, message kind, std::span<const float> out,
                                 std::span<float> in) {
  require_same_length(own, kind, out.size(), in.size());
  if (out.data() != in.data()) std::ranges::copy(out, in.begin());
}

/// How a rank's work has ended, for others to be told of; no exception: well.
struct rank_end {
  std::exception_ptr failure{};
  std::string reason{};  ///< not empty if there is a failure
};

/// Runs f() and catches whatever it throws.
template <class F>
rank_end end_of(F&& f) {
  try {
    f();
  } catch (const std::exception& e) {
    const std::string reason = e.what();
    return {std::current_exception(),
            reason.empty() ? "an exception with an empty message" : reason};
  } catch (...) {
    return {std::current_exception(), "an exception without a message"};
  }
  return {};
}

}  // namespace gantry::comm::detail
