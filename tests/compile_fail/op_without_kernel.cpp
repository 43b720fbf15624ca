// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// A layer with an op of its own, on a backend that has no kernel for it.
// EXPECT: this backend has no kernel for this op: write launch(backend&, op, params)
#include "gantry/backend/reference/reference.hpp"
#include "gantry/nn/layers.hpp"

namespace mine {

struct halve_op {
  static constexpr std::string_view name = "halve";
  template <class S>
  struct params {
    const typename S::scalar* x;
    typename S::scalar* y;
    std::size_t count;
  };
};

#ifndef GANTRY_MISTAKE
template <class T>
void launch(gantry::backend::reference<T>&, halve_op,
            const halve_op::params<typename gantry::backend::reference<T>::storage>& p) {
  for (std::size_t i = 0; i < p.count; ++i) p.y[i] = p.x[i] / 2;
}
#endif

struct halve : gantry::nn::parameter_free {
  static constexpr std::string_view name = "halve";
  static constexpr gantry::hwc output_shape(gantry::hwc in) { return in; }
  template <gantry::hwc>
  static constexpr bool validate() {
    return true;
  }
  template <gantry::hwc>
  using required_ops = gantry::op_list<halve_op>;

  template <gantry::hwc In, gantry::Backend B>
  void forward(B& b, const gantry::forward_args<B>& a) const {
    launch(b, halve_op{}, {a.x.data, a.y.data, gantry::nhwc::elements(In, a.x.n)});
  }
  template <gantry::hwc In, gantry::Backend B>
  void backward(B& b, const gantry::backward_args<B>& a) const {
    if (a.dx.data)
      launch(b, halve_op{}, {a.dy.data, a.dx.data, gantry::nhwc::elements(In, a.dy.n)});
  }
};

}  // namespace mine

using net = gantry::sequential<gantry::latent<4>, mine::halve>;
using backend = gantry::backend::reference<float>;

void run(backend& b, net::tape<backend>& tape, const float* x) {
  net{}.forward(b, {}, {x, 1}, tape, gantry::mode::train, {});
}
