// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include "gantry/backend/cpu/cpu.hpp"
#include "gantry/train/classifier.hpp"
#include "gantry/train/evaluator.hpp"

#include "scores.hpp"

namespace {

using namespace gantry;

template <class Networks>
class classifier_scorer final : public scorer {
  using classifier_type = train::classifier<backend::cpu, Networks>;

 public:
  classifier_scorer(const program_options& o, const run_plan& plan, const data_sets& data,
                    const std::function<void(const std::string&)>& note)
      : backend_(o.threads),
        evaluator_(
            classifier_type::load_or_train(
                backend_, *data.published_train, *data.published_test,
                train::classifier_folders(
                    o.data_dir.empty() ? chosen_data(o).default_folder : o.data_dir, o.outdir),
                note),
            *data.test, {.latent = plan.latent.size()}) {}

  train::evaluation evaluate(const sample_function& sample, int count,
                             std::uint64_t seed) override {
    return evaluator_.evaluate(sample, count, seed);
  }
  std::string network_name() const override { return evaluator_.network().name(); }
  std::string network_hash() const override { return evaluator_.network().hash(); }
  double accuracy() const override { return evaluator_.network().accuracy(); }

 private:
  backend::cpu backend_;
  train::evaluator<backend::cpu, Networks> evaluator_;
};

}  // namespace

std::unique_ptr<scorer> make_scorer(const program_options& o, const run_plan& plan,
                                    const data_sets& data,
                                    const std::function<void(const std::string&)>& note) {
  const data_choice& choice = chosen_data(o);
  if (choice.image.c == 1)
    return std::make_unique<classifier_scorer<train::grey_classifier>>(o, plan, data, note);
  if (choice.classes == 100)
    return std::make_unique<classifier_scorer<train::colour_classifier<100>>>(o, plan, data, note);
  return std::make_unique<classifier_scorer<train::colour_classifier<10>>>(o, plan, data, note);
}
