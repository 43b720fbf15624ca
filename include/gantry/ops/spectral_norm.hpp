// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "gantry/ops/operation.hpp"

namespace gantry::inline v0::ops {

/// Spectral normalisation of a weight matrix W of Rows x Columns (Miyato et al., arXiv 1802.05957,
/// Alg. 1): if `iterate`, v = W^T u / |W^T u| and u = W v / |W v| first (norms at least epsilon, as
/// PyTorch); then sigma = u . W v and scaled = W / sigma. u and v that were used are copied to
/// saved_u and saved_v for the gradient, since later batches move them on.
template <int Rows, int Columns>
struct spectral_normalise {
  static constexpr std::string_view name = "spectral_normalise";
  template <class S>
  struct params {
    const typename S::scalar* weight;
    typename S::scalar* u;
    typename S::scalar* v;
    typename S::scalar* scaled;
    typename S::scalar* saved_u;
    typename S::scalar* saved_v;
    typename S::scalar* sigma;
    float epsilon;
    bool iterate;
  };
};

/// The gradient by W of a function of W / sigma with gradient G by W / sigma, u and v constant:
/// dweight += (G - <G, W / sigma> u v^T) / sigma (arXiv 1802.05957, eq. 12).
template <int Rows, int Columns>
struct spectral_gradient {
  static constexpr std::string_view name = "spectral_gradient";
  template <class S>
  struct params {
    const typename S::scalar* gradient;
    const typename S::scalar* scaled;
    const typename S::scalar* u;
    const typename S::scalar* v;
    const typename S::scalar* sigma;
    typename S::scalar* dweight;
  };
};

}  // namespace gantry::ops
