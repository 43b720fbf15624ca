// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The passes over a list of layers, for whole networks and for the paths of a residual block: which
// memory each layer reads and writes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "gantry/nn/plan.hpp"
#include "gantry/ops/pointwise.hpp"

namespace gantry::inline v0::nn {

template <std::size_t N, class F>
constexpr void for_each_index(F&& f) {
  [&]<std::size_t... I>(std::index_sequence<I...>) { (f.template operator()<I>(), ...); }
  (std::make_index_sequence<N>{});
}
template <std::size_t N, class F>
constexpr void for_each_index_reversed(F&& f) {
  [&]<std::size_t... I>(std::index_sequence<I...>) { (f.template operator()<N - 1 - I>(), ...); }
  (std::make_index_sequence<N>{});
}

/// Calls f on every layer of a list, of layers made of layers on those inside.
template <class Pack, class F>
void visit_layers(typename Pack::objects& layers, F& f) {
  for_each_index<Pack::depth>([&]<std::size_t I>() {
    auto& layer = get<I>(layers);
    if constexpr (requires { layer.for_each_layer(f); })
      layer.for_each_layer(f);
    else
      f(layer);
  });
}

/// The memory of a chain of layers: boundary i is the input of layer i; boundaries 0 and depth are
/// the caller's memory, those between are in `record` (activations) and in `kept` (gradients and
/// tangents that a penalty needs again).
template <hwc In, class Pack, class Layout>
class chain_memory {
  static constexpr std::size_t depth = Pack::depth;
  static constexpr auto shapes = Pack::shapes(In);
  static constexpr auto param_offsets = Pack::param_offsets(In);

 public:
  /// Offsets into the three memories for n samples.
  struct offsets {
    std::array<std::size_t, depth + 1> activation{}, gradient{}, tangent{};
    std::array<std::size_t, depth> saved{}, saved_size{}, kept{}, kept_size{};
    std::size_t ping{}, pong{}, inner_workspace{}, inner_workspace_size{};
    std::size_t record_total{}, workspace_total{}, kept_total{};
  };

  static constexpr offsets where(int n) {
    offsets o;
    std::size_t widest = 0;
    for (std::size_t i = 1; i < depth; ++i) {
      if (Pack::slots[i] == Pack::slots[depth]) continue;  // the caller's output
      if (Pack::slots[i] == Pack::slots[i - 1]) {
        o.activation[i] = o.activation[i - 1];
      } else {
        o.activation[i] = o.record_total;
        o.record_total += slot_size(i, n);
      }
    }
    for (std::size_t i = 1; i < depth; ++i) {
      widest = std::max(widest, size(i, n));
      const bool shared = i > 1 && shares_derivative(i - 1);
      o.gradient[i] = shared ? o.gradient[i - 1] : o.kept_total;
      o.tangent[i] = shared ? o.tangent[i - 1] : o.kept_total + derivative_size(i, n);
      if (!shared) o.kept_total += 2 * derivative_size(i, n);
    }
    o.pong = widest;
    o.inner_workspace = 2 * widest;
    for_each_index<depth>([&]<std::size_t I>() {
      using layer = typename Pack::template layer_type<I>;
      o.saved[I] = o.record_total;
      o.saved_size[I] = saved_elements<layer, Layout, shapes[I]>(n);
      o.record_total += slice(o.saved_size[I]);
      o.kept[I] = o.kept_total;
      o.kept_size[I] = kept_elements<layer, Layout, shapes[I]>(n);
      o.kept_total += slice(o.kept_size[I]);
      o.inner_workspace_size =
          std::max(o.inner_workspace_size, slice(workspace_elements<layer, Layout, shapes[I]>(n)));
    });
    o.workspace_total = o.inner_workspace + o.inner_workspace_size;
    return o;
  }
  static constexpr std::size_t record_size(int n) { return where(n).record_total; }
  static constexpr std::size_t workspace_size(int n) { return where(n).workspace_total; }
  static constexpr std::size_t kept_size(int n) { return where(n).kept_total; }
  /// The output's memory, which in-place layers at the end work in as well.
  static constexpr std::size_t output_size(int n) {
    std::size_t first = depth;
    while (first > 1 && Pack::slots[first - 1] == Pack::slots[depth]) --first;
    return slot_size(first, n);
  }

 protected:
  static constexpr std::size_t size(std::size_t i, int n) {
    return slice(Layout::elements(shapes[i], n));
  }

 private:
  /// Extents that share memory may need more or less of it in the backend's layout.
  static constexpr std::size_t slot_size(std::size_t first, int n) {
    std::size_t widest = 0;
    for (std::size_t i = first; i <= depth && Pack::slots[i] == Pack::slots[first]; ++i)
      widest = std::max(widest, size(i, n));
    return widest;
  }

  /// Gradients and tangents on both sides of layer i may share memory: nothing reads them again but
  /// layers with parameters and layers that bend.
  static constexpr bool shares_derivative(std::size_t i) {
    return Pack::in_place[i] && !Pack::bends[i] && param_offsets[i] == param_offsets[i + 1];
  }
  static constexpr std::size_t derivative_size(std::size_t first, int n) {
    std::size_t widest = size(first, n);
    for (std::size_t i = first; i + 1 < depth && shares_derivative(i); ++i)
      widest = std::max(widest, size(i + 1, n));
    return widest;
  }
};

/// Names the layer in the first line of the compiler's message.
template <class Layer, hwc In, Backend B>
struct require_tangent {
  static_assert(
      requires(const Layer& l, B& b, const tangent_args<B>& a) { l.template tangent<In>(b, a); },
      "a gradient penalty needs the tangent pass of every layer of the discriminator, and "
      "this one has none; write tangent and merged_gradient or second_order for it "
      "(concepts/layer.hpp), or use other layers");
  static constexpr bool value = true;
};

/// The passes of Pack on input extents In.
template <hwc In, class Pack, Backend B>
class chain : public chain_memory<In, Pack, typename B::storage::layout> {
  using base = chain_memory<In, Pack, typename B::storage::layout>;
  using scalar = typename B::scalar;
  using storage = typename B::storage;
  using batch = batch_of<storage>;
  using const_batch = const_batch_of<storage>;
  using objects = typename Pack::objects;
  static constexpr std::size_t depth = Pack::depth;
  static constexpr auto shapes = Pack::shapes(In);
  static constexpr auto param_offsets = Pack::param_offsets(In);
  static constexpr auto buffer_offsets = Pack::buffer_offsets(In);
  template <std::size_t I>
  using layer_type = typename Pack::template layer_type<I>;

 public:
  using offsets = typename base::offsets;

  /// What one walk works on.
  struct frame {
    const objects& layers;
    offsets where;
    const_batch x{};  ///< the chain's input
    batch y{};        ///< and its output, memory of the caller's
    std::span<const scalar> params{};
    std::span<scalar> buffers{};
    scalar* record{};     ///< record_size(n) scalars: from forward to backward
    scalar* workspace{};  ///< workspace_size(n) scalars: scratch
    scalar* kept{};       ///< kept_size(n) scalars: from backward to penalties; may be null
    mode run_mode{mode::train};
    stream_id random{};
    const std::uint8_t* labels{};
    const layer_hooks* hooks{};
    bool paired{};
  };

  static batch activation(const frame& f, std::size_t i) {
    return {Pack::slots[i] == Pack::slots[depth] ? f.y.data : f.record + f.where.activation[i],
            f.x.n};
  }

  static void forward(B& b, const frame& f) {
    for_each_index<depth>([&]<std::size_t I>() {
      static_assert(require_ops<B, typename layer_type<I>::template required_ops<shapes[I]>>::value,
                    "sequential: the backend lacks a kernel that one of the layers needs");
      if (f.hooks && f.hooks->before_forward) f.hooks->before_forward(I);
      if constexpr (I > 0 && activates<I - 1>()) return;
      const forward_args<B> args{
          input<I>(f),
          activation(f, I + 1),
          params<I>(f),
          f.buffers.subspan(buffer_offsets[I], buffer_offsets[I + 1] - buffer_offsets[I]),
          saved<I>(f),
          f.run_mode,
          random<I>(f),
          inner_workspace(f),
          f.labels,
          f.paired};
      if constexpr (activates<I>())
        get<I>(f.layers).template forward<shapes[I]>(b, args, get<I + 1>(f.layers).function());
      else
        get<I>(f.layers).template forward<shapes[I]>(b, args);
    });
  }

  /// Overwrites dx unless null, adds to dparams unless empty. With f.kept, every inner gradient
  /// stays there. `owned` is dy's memory where layers at the end may work in it, else null.
  static void backward(B& b, const frame& f, const_batch dy, batch dx, std::span<scalar> dparams,
                       scalar* owned = nullptr) {
    const_batch current = dy;
    const auto has_room = [&](std::size_t i) {
      return owned && (owned != dy.data || base::size(i, f.x.n) <= base::size(depth, f.x.n));
    };
    for_each_index_reversed<depth>([&]<std::size_t I>() {
      constexpr bool inner = I > first_parameter_layer();
      if (I < first_parameter_layer() && !dx.data) return;
      batch here{};
      if (I == 0) {
        here = dx;
      } else if (f.kept) {
        here = {f.kept + f.where.gradient[I], f.x.n};
      } else if (inner || dx.data) {
        if (!Pack::in_place[I] || !has_room(I)) owned = other(f, owned);
        here = {owned, f.x.n};
      }
      const backward_args<B> args{input<I>(f),
                                  activation(f, I + 1),
                                  current,
                                  params<I>(f),
                                  saved<I>(f),
                                  here,
                                  gradients<I>(dparams),
                                  f.run_mode,
                                  random<I>(f),
                                  inner_workspace(f),
                                  kept<I>(f),
                                  f.labels,
                                  f.paired};
      if constexpr (gates<I>())
        get<I>(f.layers).template backward<shapes[I]>(b, args, get<I - 1>(f.layers).function());
      else if constexpr (I + 1 == depth || !gates<I + 1>())
        get<I>(f.layers).template backward<shapes[I]>(b, args);
      if (f.hooks && f.hooks->after_backward) f.hooks->after_backward(I);
      current = here;
    });
  }

  /// Overwrites ty; every inner tangent stays in f.kept. Must follow a backward that kept.
  static void tangent(B& b, const frame& f, const_batch tx, batch ty) {
    for_each_index<depth>([&]<std::size_t I>() {
      static_assert(require_tangent<layer_type<I>, shapes[I], B>::value, "see the message above");
      get<I>(f.layers).template tangent<shapes[I]>(
          b,
          tangent_args<B>{input<I>(f), activation(f, I + 1), tangent_at<I>(f, tx),
                          I + 1 == depth ? ty : inner_tangent(f, I + 1), params<I>(f), saved<I>(f),
                          f.run_mode, random<I>(f), inner_workspace(f), kept<I>(f), f.labels});
    });
  }

  /// The one weight gradient of merged_args; m is the merged input of the chain, gy the gradient by
  /// its output. Inner tangents are merged in place.
  static void merged(B& b, const frame& f, const_batch m, const_batch gy, const scalar* seeds,
                     std::span<scalar> dparams) {
    for_each_index<depth>([&]<std::size_t I>() {
      if constexpr (has_parameters<I>()) {
        if (I > 0 && seeds) merge<shapes[I]>(b, input<I>(f), seeds, inner_tangent(f, I));
        get<I>(f.layers).template merged_gradient<shapes[I]>(
            b, merged_args<B>{input<I>(f), tangent_at<I>(f, m), gradient_at<I>(f, gy), seeds,
                              params<I>(f), saved<I>(f), gradients<I>(dparams), f.run_mode,
                              random<I>(f), inner_workspace(f), kept<I>(f), f.labels});
      }
    });
  }

  /// Derivatives of <gy, J tx> + <ey, y>; see second_order_args.
  static void second_order(B& b, const frame& f, const second_order_args<B>& a) {
    const_batch ey = a.ey;
    scalar* owned = nullptr;
    for_each_index_reversed<depth>([&]<std::size_t I>() {
      using layer = layer_type<I>;
      batch ex{};
      if (I == 0) {
        ex = a.ex;
      } else if (!is_piecewise_linear<layer> || ey.data) {
        owned = other(f, owned);
        ex = {owned, f.x.n};
      }
      const second_order_args<B> at{input<I>(f),
                                    activation(f, I + 1),
                                    tangent_at<I>(f, a.tx),
                                    gradient_at<I>(f, a.gy),
                                    ey,
                                    ex,
                                    params<I>(f),
                                    saved<I>(f),
                                    gradients<I>(a.dparams),
                                    f.run_mode,
                                    random<I>(f),
                                    inner_workspace(f),
                                    kept<I>(f),
                                    f.labels};
      step_second_order<I>(b, f, at);
      ey = ex;
    });
  }

  /// m += s_i x_i for every sample i.
  template <hwc Shape>
  static void merge(B& b, const_batch x, const scalar* seeds, batch m) {
    launch(b, ops::accumulate_scaled<Shape>{}, {x, seeds, m});
  }

 private:
  static constexpr std::size_t first_parameter_layer() {
    std::size_t i = 0;
    while (i < depth && param_offsets[i] == param_offsets[i + 1]) ++i;
    return i;
  }
  template <std::size_t I>
  static constexpr bool has_parameters() {
    return param_offsets[I] != param_offsets[I + 1];
  }

  /// Whether layer I and the activation behind it are one launch: backend and layer have it, and
  /// the activation would have worked in place.
  template <std::size_t I>
  static constexpr bool activates() {
    if constexpr (I < depth && I + 1 < depth) {
      if constexpr (is_activation<layer_type<I + 1>>)
        return Pack::slots[I + 1] == Pack::slots[I + 2] &&
               requires(const layer_type<I>& l, const layer_type<I + 1>& next, B& b,
                        const forward_args<B>& a) {
          l.template forward<shapes[I]>(b, a, next.function());
        };
    }
    return false;
  }
  /// Whether the backward of layer I and that of the activation before it are one launch. A
  /// gradient between the two then exists nowhere, as where penalties keep gradients: an
  /// activation that bends needs it.
  template <std::size_t I>
  static constexpr bool gates() {
    if constexpr (I > 1 && I < depth) {
      if constexpr (is_activation<layer_type<I - 1>> && is_piecewise_linear<layer_type<I - 1>>)
        return requires(const layer_type<I>& l, const layer_type<I - 1>& before, B& b,
                        const backward_args<B>& a) {
          l.template backward<shapes[I]>(b, a, before.function());
        };
    }
    return false;
  }

  static scalar* other(const frame& f, const scalar* one) {
    return f.workspace + (one == f.workspace + f.where.ping ? f.where.pong : f.where.ping);
  }
  static std::span<scalar> inner_workspace(const frame& f) {
    return {f.workspace + f.where.inner_workspace, f.where.inner_workspace_size};
  }
  static batch inner_tangent(const frame& f, std::size_t i) {
    return {f.kept + f.where.tangent[i], f.x.n};
  }
  template <std::size_t I>
  static const_batch input(const frame& f) {
    if constexpr (I == 0)
      return f.x;
    else
      return activation(f, I);
  }
  template <std::size_t I>
  static const_batch tangent_at(const frame& f, const_batch outer) {
    return I == 0 ? outer : const_batch(inner_tangent(f, I));
  }
  template <std::size_t I>
  static const_batch gradient_at(const frame& f, const_batch outer) {
    return I + 1 == depth ? outer : const_batch{f.kept + f.where.gradient[I + 1], f.x.n};
  }
  template <std::size_t I>
  static std::span<const scalar> params(const frame& f) {
    return f.params.subspan(param_offsets[I], param_offsets[I + 1] - param_offsets[I]);
  }
  template <std::size_t I>
  static std::span<scalar> gradients(std::span<scalar> all) {
    if (all.empty()) return all;
    return all.subspan(param_offsets[I], param_offsets[I + 1] - param_offsets[I]);
  }
  template <std::size_t I>
  static std::span<scalar> saved(const frame& f) {
    return {f.record + f.where.saved[I], f.where.saved_size[I]};
  }
  template <std::size_t I>
  static std::span<scalar> kept(const frame& f) {
    if (!f.kept) return {};
    return {f.kept + f.where.kept[I], f.where.kept_size[I]};
  }
  template <std::size_t I>
  static stream_id random(const frame& f) {
    stream_id id = f.random;
    id.salt += Pack::streams[I];
    return id;
  }

  /// A piecewise linear layer's terms are those of its weight gradient and of its backward.
  template <std::size_t I>
  static void step_second_order(B& b, const frame& f, const second_order_args<B>& a) {
    const auto& layer = get<I>(f.layers);
    if constexpr (is_piecewise_linear<layer_type<I>>) {
      if constexpr (has_parameters<I>()) {
        if (!a.dparams.empty())
          layer.template merged_gradient<shapes[I]>(
              b, merged_args<B>{a.x, a.tx, a.gy, nullptr, a.params, a.saved, a.dparams, a.run_mode,
                                a.random, a.workspace, a.kept, a.labels});
      }
      if (a.ey.data) {
        backward_args<B> g{a.x, a.y, a.ey, a.params, a.saved, a.ex, a.dparams};
        g.run_mode = a.run_mode;
        g.random = a.random;
        g.workspace = a.workspace;
        g.labels = a.labels;
        layer.template backward<shapes[I]>(b, g);
      }
    } else {
      layer.template second_order<shapes[I]>(b, a);
    }
  }
};

}  // namespace gantry::nn
