// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// The training step of `gantry-bench step` with dlib: one JSON line with the same keys. Built by
// compare.py where dlib is installed; nothing else needs it. usage: dlib_gan_step dcgan28|dcgan32
// batch seconds
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <dlib/dnn.h>
#include <dlib/matrix.h>
#include <dlib/revision.h>

namespace {

using noise = std::array<dlib::matrix<float, 1, 1>, 100>;
template <long Filters, int Kernel, int Stride, int Pad, class Net>
using down = dlib::add_layer<dlib::con_<Filters, Kernel, Kernel, Stride, Stride, Pad, Pad>, Net>;
template <long Filters, int Kernel, int Stride, int Pad, class Net>
using up = dlib::add_layer<dlib::cont_<Filters, Kernel, Kernel, Stride, Stride, Pad, Pad>, Net>;
template <class Net>
using normed = dlib::relu<dlib::bn_con<Net>>;
template <class Net>
using leaky_normed = dlib::leaky_relu<dlib::bn_con<Net>>;

struct dcgan28 {
  static constexpr int side = 28;
  using image = dlib::matrix<unsigned char>;
  using generator = dlib::loss_binary_log_per_pixel<dlib::sig<
      up<1, 4, 2, 1, normed<up<64, 4, 2, 1, normed<up<128, 7, 1, 0, dlib::input<noise>>>>>>>>;
  using discriminator = dlib::loss_binary_log<down<
      1, 7, 1, 0,
      leaky_normed<down<128, 4, 2, 1, dlib::leaky_relu<down<64, 4, 2, 1, dlib::input<image>>>>>>>;
};

struct dcgan32 {
  static constexpr int side = 32;
  using image = dlib::matrix<dlib::rgb_pixel>;
  using generator = dlib::loss_binary_log_per_pixel<dlib::sig<
      up<3, 4, 2, 1,
         normed<up<64, 4, 2, 1,
                   normed<up<128, 4, 2, 1, normed<up<256, 4, 1, 0, dlib::input<noise>>>>>>>>>>;
  using discriminator = dlib::loss_binary_log<
      down<1, 4, 1, 0,
           leaky_normed<
               down<256, 4, 2, 1,
                    leaky_normed<down<128, 4, 2, 1,
                                      dlib::leaky_relu<down<64, 4, 2, 1, dlib::input<image>>>>>>>>>;
};

void randomise(unsigned char& pixel, dlib::rand& random) {
  pixel = random.get_random_8bit_number();
}
void randomise(dlib::rgb_pixel& pixel, dlib::rand& random) {
  pixel = {random.get_random_8bit_number(), random.get_random_8bit_number(),
           random.get_random_8bit_number()};
}

template <class Model>
void run(const std::string& name, int batch, double seconds) {
  using clock = std::chrono::steady_clock;
  const auto now = [] {
    return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
  };
  dlib::rand random(1);
  typename Model::generator g;
  typename Model::discriminator d;
  std::vector<dlib::adam> of_g(g.num_computational_layers, dlib::adam(0, 0.5f, 0.999f)),
      of_d(d.num_computational_layers, dlib::adam(0, 0.5f, 0.999f));
  constexpr double rate = 2e-4;
  const std::vector<float> real_label(static_cast<std::size_t>(batch), 1.0f),
      fake_label(static_cast<std::size_t>(batch), -1.0f);
  std::vector<typename Model::image> images(static_cast<std::size_t>(batch));
  for (auto& image : images) {
    image.set_size(Model::side, Model::side);
    for (auto& pixel : image) randomise(pixel, random);
  }
  dlib::resizable_tensor real, latents, fake;
  const auto step = [&] {
    d.to_tensor(images.begin(), images.end(), real);
    d.compute_loss(real, real_label.begin());
    d.back_propagate_error(real);
    d.update_parameters(of_d, rate);
    std::vector<noise> z(static_cast<std::size_t>(batch));
    for (noise& sample : z)
      for (auto& number : sample) number = static_cast<float>(random.get_random_gaussian());
    g.to_tensor(z.begin(), z.end(), latents);
    const dlib::tensor& made = g.forward(latents);
    fake.copy_size(made);
    std::memcpy(fake.host(), made.host(), made.size() * sizeof(float));
    d.compute_loss(fake, fake_label.begin());
    d.back_propagate_error(fake);
    d.update_parameters(of_d, rate);
    d.compute_loss(fake, real_label.begin());
    d.back_propagate_error(fake);
    g.back_propagate_error(latents, d.get_final_data_gradient());
    g.update_parameters(of_g, rate);
  };
  for (int i = 0; i < 2; ++i) step();
  std::vector<double> times;
  for (const double start = now(); times.size() < 5 || now() - start < seconds;) {
    const double begin = now();
    step();
    times.push_back(now() - begin);
  }
  std::sort(times.begin(), times.end());
  const std::size_t n = times.size();
  std::printf(
      "{\"impl\": \"dlib\", \"version\": \"%d.%d\", \"model\": \"%s\", \"batch\": %d, "
      "\"steps\": %zu, \"step_ms\": %.4f, \"step_ms_p10\": %.4f, \"step_ms_p90\": %.4f, "
      "\"images_per_s\": %.2f}\n",
      DLIB_MAJOR_VERSION, DLIB_MINOR_VERSION, name.c_str(), batch, n, 1e3 * times[n / 2],
      1e3 * times[n / 10], 1e3 * times[n * 9 / 10], batch / times[n / 2]);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string model = argc > 1 ? argv[1] : "";
  const int batch = argc > 2 ? std::atoi(argv[2]) : 64;
  const double seconds = argc > 3 ? std::atof(argv[3]) : 5;
  if (model == "dcgan28") {
    run<dcgan28>(model, batch, seconds);
  } else if (model == "dcgan32") {
    run<dcgan32>(model, batch, seconds);
  } else {
    std::fprintf(stderr, "dlib_gan_step: expected dcgan28 or dcgan32, found \"%s\"\n", argv[1]);
    return 2;
  }
  return 0;
}
