// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The vocabulary of ops. An op is an empty tag; what is fixed at compile time (geometry, function)
// is in the tag, what varies from call to call is in `params<Storage>`. A backend implements an op
// by an overload
//   void launch(backend&, op, const op::params<backend::storage>&)
// found by argument-dependent lookup; there is no list of ops that a backend must implement as a
// whole.
#pragma once

#include <concepts>
#include <string_view>
#include <type_traits>

#include "gantry/tensor/view.hpp"

namespace gantry::inline v0 {

template <class Op, class Storage>
concept Operation = std::is_empty_v<Op> && requires {
  typename Op::template params<Storage>;
  { Op::name } -> std::convertible_to<std::string_view>;
} && std::is_trivially_copyable_v<typename Op::template params<Storage>>;

/// True if backend B has a kernel for Op.
template <class B, class Op>
concept Implements = Operation<Op, typename B::storage> &&
    requires(B& b, const typename Op::template params<typename B::storage>& p) {
  { launch(b, Op{}, p) } -> std::same_as<void>;
};

/// The ops a layer, loss or optimizer calls.
template <class... Ops>
struct op_list {};

/// Names the op and the backend in the first line of the compiler's message.
template <class B, class Op>
struct require_op {
  static_assert(Implements<B, Op>,
                "this backend has no kernel for this op: write launch(backend&, op, params) beside "
                "the backend, or use a layer, loss or optimizer that the backend supports");
  static constexpr bool value = true;
};

template <class B, class List>
struct require_ops;
template <class B, class... Ops>
struct require_ops<B, op_list<Ops...>> {
  static constexpr bool value = (require_op<B, Ops>::value && ... && true);
};

}  // namespace gantry
