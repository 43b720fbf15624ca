// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Whole presets on the CPU backend against the reference in double.
#include <tuple>

#include <doctest/doctest.h>

#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/backend/reference/reference.hpp"
#include "gantry/models/presets.hpp"

#include "support/compare.hpp"

using namespace gantry;

namespace {

using all_presets =
    std::tuple<models::mlp28, models::cnn28, models::dcgan28, models::dcgan32, models::dcgan64>;

constexpr int batch_size = 3;

/// What one forward and backward leave behind.
struct trace {
  std::vector<double> output, buffers, dx, dparams;
};

/// He's rule, so that activations and gradients are near 1 in every layer.
template <class Net>
Net prepared() {
  Net net;
  net.for_each_layer([](auto& layer) {
    if constexpr (requires { layer.weight_init; })
      layer.weight_init.how = nn::initialiser::rule::he;
  });
  return net;
}

/// A batch in the backend's layout, and back.
template <hwc Shape, Backend B>
typename B::buffer_type batch_on(B& b, const std::vector<float>& canonical) {
  auto memory = b.allocate(B::storage::layout::elements(Shape, batch_size));
  if (!canonical.empty())
    launch(b, ops::import_samples<Shape>{}, {canonical.data(), {memory.data(), batch_size}});
  return memory;
}
template <hwc Shape, Backend B>
std::vector<double> values_of(B& b, const typename B::scalar* batch) {
  std::vector<float> canonical(nhwc::elements(Shape, batch_size));
  launch(b, ops::export_samples<Shape>{}, {{batch, batch_size}, canonical.data(), 1.0f});
  return {canonical.begin(), canonical.end()};
}

template <class Net, Backend B>
trace run(B& b, mode run_mode) {
  constexpr hwc in = Net::input_shape, out = Net::output_shape;
  const Net net = prepared<Net>();
  std::vector<float> params(Net::param_count), buffers(Net::buffer_count),
      x(nhwc::elements(in, batch_size)), dy(nhwc::elements(out, batch_size));
  net.initialise(params, buffers, {.seed = 1, .use = purpose::initialise});
  fill_normal(std::span(x), {.seed = 24});
  fill_normal(std::span(dy), {.seed = 3});
  auto on_device = [&](const std::vector<float>& host) {
    auto memory = b.allocate(host.size());
    b.upload(host, memory.data());
    return memory;
  };
  const auto p = on_device(params), s = on_device(buffers);
  const auto at = batch_on<in>(b, x), dx = batch_on<in>(b, {});
  const auto dparams = b.allocate(params.size());
  const network_view<B> values{p.span(), s.span()};
  typename Net::template tape<B> tape(b, batch_size);
  net.forward(b, values, {at.data(), batch_size}, tape, run_mode, {.seed = 4});
  const std::vector<double> y = values_of<out>(b, tape.output().data);
  launch(b, ops::import_samples<out>{}, {dy.data(), tape.output_gradient()});
  net.backward(b, values, {at.data(), batch_size}, tape, dparams.span(), {dx.data(), batch_size});
  const auto copied = [](std::span<typename B::scalar> from) {
    return std::vector<double>(from.begin(), from.end());
  };
  return {y, copied(s.span()), values_of<in>(b, dx.data()), copied(dparams.span())};
}

/// Forward sums of a few thousand products through ten layers agree to 1e-4. A gradient may take
/// the other side of a kink here and there, so it is measured as a whole and per tensor.
template <class Net>
test::outcome compare_traces(const trace& found, const trace& expected) {
  const auto all = [](const std::vector<double>& v) { return std::span<const double>(v); };
  test::outcome o =
      test::compare(found.output, expected.output, {1e-4, 1e-4}).named("output") &&
      test::compare(found.buffers, expected.buffers, {1e-4, 1e-5}).named("running statistics") &&
      test::compare_lengths(all(found.dx), all(expected.dx), 1e-2).named("dx");
  for (const tensor_info& t : Net::tensors())
    if (!t.is_buffer)
      o = o && test::compare_lengths(all(found.dparams).subspan(t.offset, t.size()),
                                     all(expected.dparams).subspan(t.offset, t.size()), 1e-2)
                   .named("gradient of " + t.name);
  return o;
}

template <class Net>
void check(mode run_mode) {
  backend::reference<double> oracle;
  backend::cpu one(1), two(2);
  const trace expected = run<Net>(oracle, run_mode), found = run<Net>(one, run_mode);
  CHECK(compare_traces<Net>(found, expected));
  const trace again = run<Net>(two, run_mode);
  CHECK(test::same_bits(again.output, found.output).named("output, two threads"));
  CHECK(test::same_bits(again.buffers, found.buffers).named("statistics, two threads"));
  CHECK(test::same_bits(again.dx, found.dx).named("dx, two threads"));
  CHECK(test::same_bits(again.dparams, found.dparams).named("gradients, two threads"));
}

}  // namespace

TEST_CASE_TEMPLATE_DEFINE("presets: the CPU backend agrees with the reference", preset,
                          presets_on_cpu) {
  CAPTURE(preset::name);
  check<typename preset::generator>(mode::train);
  check<typename preset::discriminator>(mode::train);
  if (preset::generator::flops.forward > 1e8) return;  // the reference takes its time
  check<typename preset::generator>(mode::evaluate);
  check<typename preset::discriminator>(mode::evaluate);
}
TEST_CASE_TEMPLATE_APPLY(presets_on_cpu, all_presets);
