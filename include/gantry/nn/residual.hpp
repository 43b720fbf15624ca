// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gantry/nn/chain.hpp"

namespace gantry::inline v0 {

/// A list of layers inside of a residual block; path<> passes its input on.
template <class... Layers>
struct path {
  using pack = nn::layer_pack<Layers...>;
};

/// y = Branch(x) + Shortcut(x), both lists of layers (He et al., arXiv 1512.03385, eq. 1 and 2):
/// residual<path<relu, conv2d<64, 3, 1, 1>>, path<conv2d<64, 1>>>. Blocks may hold blocks.
template <class Branch, class Shortcut = path<>>
struct residual {
  using branch_pack = typename Branch::pack;
  using shortcut_pack = typename Shortcut::pack;
  static_assert(branch_pack::depth > 0,
                "residual<path<...>, path<...>>: the first path must have at least one layer");
  static constexpr bool identity = shortcut_pack::depth == 0;
  static constexpr std::string_view name = "residual";
  static constexpr bool piecewise_linear =
      branch_pack::piecewise_linear && shortcut_pack::piecewise_linear;
  static constexpr int classes = std::max(branch_pack::classes, shortcut_pack::classes);
  static constexpr bool couples_samples =
      branch_pack::couples_samples || shortcut_pack::couples_samples;
  static constexpr bool takes_pairs = false;  // the paths' passes are of one batch
  static constexpr std::uint32_t stream_count =
      branch_pack::streams.back() + shortcut_pack::streams.back();

  static constexpr hwc output_shape(hwc in) { return branch_pack::shapes(in).back(); }
  static constexpr std::size_t param_count(hwc in) {
    return branch_params(in) + shortcut_pack::param_offsets(in).back();
  }
  static constexpr std::size_t buffer_count(hwc in) {
    return branch_buffers(in) + shortcut_pack::buffer_offsets(in).back();
  }
  static constexpr std::size_t saved_count(hwc, int) { return 0; }  // see saved_elements
  static constexpr flop_count flops(hwc in) {
    return branch_pack::flops(in) + shortcut_pack::flops(in);
  }
  template <hwc In>
  static constexpr bool validate() {
    constexpr bool valid =
        branch_pack::template validate<In>() && shortcut_pack::template validate<In>();
    static_assert(branch_pack::shapes(In).back() == shortcut_pack::shapes(In).back(),
                  "residual<path<...>, path<...>>: both paths must give the same height, width and "
                  "channels; an empty second path passes the input on as it is");
    return valid;
  }
  static std::vector<tensor_info> tensors(hwc in, hwc) {
    std::vector<tensor_info> all;
    add_tensors<branch_pack>(all, "branch.", in, 0, 0);
    add_tensors<shortcut_pack>(all, "shortcut.", in, branch_params(in), branch_buffers(in));
    return all;
  }
  template <hwc>
  using required_ops = op_list<ops::accumulate>;

  template <class Layout, hwc In>
  static constexpr std::size_t saved_elements(int n) {
    return memory<Layout, In>(n).saved;
  }
  template <class Layout, hwc In>
  static constexpr std::size_t workspace_elements(int n) {
    return memory<Layout, In>(n).workspace;
  }
  template <class Layout, hwc In>
  static constexpr std::size_t kept_elements(int n) {
    return memory<Layout, In>(n).kept;
  }

  void initialise(std::span<float> params, std::span<float> buffers, hwc in,
                  const stream_id& id) const {
    start<branch_pack>(branch, params, buffers, in, id);
    stream_id second = id;
    second.salt += branch_pack::streams.back();
    start<shortcut_pack>(shortcut, params.subspan(branch_params(in)),
                         buffers.subspan(branch_buffers(in)), in, second);
  }

  template <class F>
  void for_each_layer(F& f) {
    nn::visit_layers<branch_pack>(branch, f);
    nn::visit_layers<shortcut_pack>(shortcut, f);
  }

  template <hwc In, Backend B>
  void forward(B& b, const forward_args<B>& a) const {
    static_assert(branch_chain<In, B>::output_size(1) == slice(count<B, output_shape(In)>(1)) &&
                      (identity || shortcut_chain<In, B>::output_size(1) ==
                                       slice(count<B, output_shape(In)>(1))),
                  "residual<path<...>, path<...>>: a path may not end in reshape or flatten");
    const frames<In, B> f(*this, a);
    branch_chain<In, B>::forward(b, f.branch);
    if constexpr (keeps_output<branch_pack>)
      launch(b, ops::copy{}, {f.branch.y.data, a.y.data, count<B, output_shape(In)>(a.x.n)});
    if constexpr (identity) {
      add<In>(b, a.x, a.y);
    } else {
      shortcut_chain<In, B>::forward(b, f.shortcut);
      add<output_shape(In)>(b, f.shortcut.y, a.y);
    }
  }

  template <hwc In, Backend B>
  void backward(B& b, const backward_args<B>& a) const {
    const frames<In, B> f(*this, a);
    branch_chain<In, B>::backward(b, f.branch, a.dy, a.dx, branch_part<In>(a.dparams));
    if constexpr (identity) {
      if (a.dx.data) add<In>(b, a.dy, a.dx);
    } else {
      shortcut_chain<In, B>::backward(b, f.shortcut, a.dy,
                                      a.dx.data ? f.aside() : batch_of<typename B::storage>{},
                                      shortcut_part<In>(a.dparams));
      if (a.dx.data) add<In>(b, f.aside(), a.dx);
    }
  }

  template <hwc In, Backend B>
  void tangent(B& b, const tangent_args<B>& a) const {
    const frames<In, B> f(*this, a);
    branch_chain<In, B>::tangent(b, f.branch, a.tx, a.ty);
    if constexpr (identity) {
      add<In>(b, a.tx, a.ty);
    } else {
      shortcut_chain<In, B>::tangent(b, f.shortcut, a.tx, f.aside());
      add<output_shape(In)>(b, f.aside(), a.ty);
    }
  }

  template <hwc In, Backend B>
  void merged_gradient(B& b, const merged_args<B>& a) const {
    const frames<In, B> f(*this, a);
    branch_chain<In, B>::merged(b, f.branch, a.m, a.gy, a.seeds, branch_part<In>(a.dparams));
    shortcut_chain<In, B>::merged(b, f.shortcut, a.m, a.gy, a.seeds, shortcut_part<In>(a.dparams));
  }

  template <hwc In, Backend B>
  void second_order(B& b, const second_order_args<B>& a) const {
    const frames<In, B> f(*this, a);
    second_order_args<B> inner = a;
    inner.dparams = branch_part<In>(a.dparams);
    // A piecewise linear path gives nothing to ex where ey is zero, and leaves it as it is.
    const bool by_branch = a.ey.data || !branch_pack::piecewise_linear;
    const bool by_shortcut = a.ey.data || !shortcut_pack::piecewise_linear;
    branch_chain<In, B>::second_order(b, f.branch, inner);
    if constexpr (identity) {
      if (a.ex.data && a.ey.data) add<In>(b, a.ey, a.ex);
    } else {
      inner.dparams = shortcut_part<In>(a.dparams);
      if (a.ex.data && by_branch) inner.ex = f.aside();
      shortcut_chain<In, B>::second_order(b, f.shortcut, inner);
      if (a.ex.data && by_branch && by_shortcut) add<In>(b, f.aside(), a.ex);
    }
  }

  typename branch_pack::objects branch;
  typename shortcut_pack::objects shortcut;

 private:
  template <class Pack>
  static constexpr bool keeps_output = [] {
    if constexpr (Pack::depth == 0)
      return false;
    else
      return Pack::keeps_output.back();
  }();
  template <hwc In, class B>
  using branch_chain = nn::chain<In, branch_pack, B>;
  template <hwc In, class B>
  using shortcut_chain = nn::chain<In, shortcut_pack, B>;

  static constexpr std::size_t branch_params(hwc in) {
    return branch_pack::param_offsets(in).back();
  }
  static constexpr std::size_t branch_buffers(hwc in) {
    return branch_pack::buffer_offsets(in).back();
  }
  template <hwc In, class T>
  static std::span<T> branch_part(std::span<T> all) {
    return all.empty() ? all : all.first(branch_params(In));
  }
  template <hwc In, class T>
  static std::span<T> shortcut_part(std::span<T> all) {
    return all.empty() ? all : all.subspan(branch_params(In));
  }

  /// Where the paths' memories begin. A path's output is kept where its last layer needs it;
  /// otherwise the branch writes y, and the shortcut a scratch of the size of x or y (`aside`).
  struct layout_plan {
    std::size_t branch_output{}, shortcut{}, shortcut_output{}, saved{};
    std::size_t aside{}, workspace{}, shortcut_kept{}, kept{};
  };
  template <class Layout, hwc In>
  static constexpr layout_plan memory(int n) {
    using first = nn::chain_memory<In, branch_pack, Layout>;
    using second = nn::chain_memory<In, shortcut_pack, Layout>;
    layout_plan p;
    p.branch_output = first::record_size(n);
    p.shortcut = p.branch_output + (keeps_output<branch_pack> ? first::output_size(n) : 0);
    p.shortcut_output = p.shortcut + second::record_size(n);
    p.saved = p.shortcut_output + (keeps_output<shortcut_pack> ? second::output_size(n) : 0);
    p.aside = std::max(first::workspace_size(n), second::workspace_size(n));
    p.workspace = p.aside + std::max({slice(Layout::elements(In, n)), first::output_size(n),
                                      second::output_size(n)});
    p.shortcut_kept = first::kept_size(n);
    p.kept = p.shortcut_kept + second::kept_size(n);
    return p;
  }

  /// The walks over both paths, from the arguments of any pass of the block.
  template <hwc In, Backend B>
  struct frames {
    using scalar = typename B::scalar;
    using batch = batch_of<typename B::storage>;
    template <class Args>
    frames(const residual& block, const Args& a)
        : plan(memory<typename B::storage::layout, In>(a.x.n)),
          scratch{a.workspace.data() + plan.aside, a.x.n},
          branch{.layers = block.branch, .where = branch_chain<In, B>::where(a.x.n)},
          shortcut{.layers = block.shortcut, .where = shortcut_chain<In, B>::where(a.x.n)} {
      const auto fill = [&](auto& f) {
        f.x = a.x;
        f.workspace = a.workspace.data();
        f.run_mode = a.run_mode;
        f.random = a.random;
        f.labels = a.labels;
      };
      fill(branch);
      fill(shortcut);
      shortcut.random.salt += branch_pack::streams.back();
      branch.params = branch_part<In>(a.params);
      shortcut.params = shortcut_part<In>(a.params);
      branch.record = a.saved.data();
      shortcut.record = a.saved.data() + plan.shortcut;
      shortcut.y = scratch;
      if constexpr (requires { a.buffers; }) {
        branch.y = a.y;
        branch.buffers = a.buffers.first(branch_buffers(In));
        shortcut.buffers = a.buffers.subspan(branch_buffers(In));
      }
      if (keeps_output<branch_pack>) branch.y = {a.saved.data() + plan.branch_output, a.x.n};
      if (keeps_output<shortcut_pack>) shortcut.y = {a.saved.data() + plan.shortcut_output, a.x.n};
      if constexpr (requires { a.kept; }) {
        if (!a.kept.empty()) {
          branch.kept = a.kept.data();
          shortcut.kept = a.kept.data() + plan.shortcut_kept;
        }
      }
    }
    [[nodiscard]] batch aside() const { return scratch; }

    layout_plan plan;
    batch scratch;
    typename branch_chain<In, B>::frame branch;
    typename shortcut_chain<In, B>::frame shortcut;
  };

  template <Backend B, hwc Shape>
  static constexpr std::size_t count(int n) {
    return B::storage::layout::elements(Shape, n);
  }
  template <hwc Shape, Backend B>
  static void add(B& b, const_batch_of<typename B::storage> x, batch_of<typename B::storage> y) {
    launch(b, ops::accumulate{}, {x.data, y.data, count<B, Shape>(x.n)});
  }

  template <class Pack>
  static void add_tensors(std::vector<tensor_info>& all, const std::string& prefix, hwc in,
                          std::size_t first_param, std::size_t first_buffer) {
    const auto shapes = Pack::shapes(in);
    const auto params = Pack::param_offsets(in), buffers = Pack::buffer_offsets(in);
    nn::for_each_index<Pack::depth>([&]<std::size_t I>() {
      for (tensor_info t : Pack::template layer_type<I>::tensors(shapes[I], shapes[I + 1])) {
        t.name = prefix + std::to_string(I) + "." + t.name;
        t.offset += t.is_buffer ? first_buffer + buffers[I] : first_param + params[I];
        all.push_back(std::move(t));
      }
    });
  }
  template <class Pack>
  static void start(const typename Pack::objects& layers, std::span<float> params,
                    std::span<float> buffers, hwc in, const stream_id& id) {
    const auto shapes = Pack::shapes(in);
    const auto p = Pack::param_offsets(in), q = Pack::buffer_offsets(in);
    nn::for_each_index<Pack::depth>([&]<std::size_t I>() {
      stream_id layer_id = id;
      layer_id.salt += Pack::streams[I];
      nn::get<I>(layers).initialise(params.subspan(p[I], p[I + 1] - p[I]),
                                    buffers.subspan(q[I], q[I + 1] - q[I]), shapes[I], layer_id);
    });
  }
};

}  // namespace gantry
