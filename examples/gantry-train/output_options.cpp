// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "checks.hpp"
#include "output_options.hpp"
#include "strategy_options.hpp"

using namespace gantry;
using dist::output_rule;

namespace {

constexpr output_rule rules[] = {output_rule::mean, output_rule::odds, output_rule::maximum,
                                 output_rule::softmax};

}  // namespace

void add_output_rule_flags(CLI::App& app, output_options& o) {
  std::vector<std::string> names;
  for (const output_rule rule : rules) names.emplace_back(rule_name(rule));
  app.add_option("--output-rule", o.rule,
                 "how outputs of several discriminators become one: mean, odds (UA-GAN), max (F2U) "
                 "or softmax (F2A)")
      ->check(one_of(names));
  app.add_option("--output-lambda", o.lambda, "first factor of the softmax, which is trained")
      ->check(from_to(0.0, 1e6));
  app.add_option("--output-lambda-rate", o.lambda_rate, "learning rate of that factor")
      ->check(from_to(0.0, 1e6));
  app.add_option("--output-beta", o.beta, "weight of that factor's square in the loss")
      ->check(from_to(0.0, 1e6));
}

dist::output_aggregation::config output_aggregation_config(const CLI::App& app,
                                                           const output_options& o, int fakes,
                                                           int local_steps) {
  dist::output_aggregation::config c{.fakes = fakes,
                                     .local_steps = local_steps,
                                     .lambda = o.lambda,
                                     .lambda_rate = o.lambda_rate,
                                     .beta = o.beta};
  for (const output_rule rule : rules)
    if (o.rule == rule_name(rule)) c.rule = rule;
  for (const char* flag : {"--output-lambda", "--output-lambda-rate", "--output-beta"})
    if (app.count(flag) > 0 && c.rule != output_rule::softmax)
      throw usage_error(std::string(flag) +
                        " was expected with --output-rule softmax and came with " + o.rule +
                        "; leave it out or use --output-rule softmax");
  return c;
}

void add_settings(io::json::object& all, const strategy_options&,
                  const dist::output_aggregation::config& c) {
  all.set("k", c.fakes);
  all.set("local_steps", c.local_steps);
  all.set("output_rule", std::string(rule_name(c.rule)));
  if (c.rule != output_rule::softmax) return;
  all.set("output_lambda", shortest(c.lambda));
  all.set("output_lambda_rate", shortest(c.lambda_rate));
  all.set("output_beta", shortest(c.beta));
}
