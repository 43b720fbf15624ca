// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// To compile is to pass: the server of no strategy can be given data. Its type is made of a
// topology and a backend, and no constructor or round of it takes a source.
#include <concepts>
#include <cstdint>

#include "gantry/backend/reference/reference.hpp"
#include "gantry/comm/any.hpp"
#include "gantry/data/synthetic.hpp"
#include "gantry/dist/averaged_discriminator.hpp"
#include "gantry/dist/federated_average.hpp"
#include "gantry/dist/label_parallel.hpp"
#include "gantry/dist/layerwise_overlap.hpp"
#include "gantry/dist/md_gan.hpp"
#include "gantry/dist/output_aggregation.hpp"
#include "gantry/loss/objectives.hpp"
#include "gantry/nn/layers.hpp"
#include "gantry/optim/optimizers.hpp"

namespace {

using namespace gantry;
using topology = gan<sequential<latent<8>, linear<2>>, sequential<latent<2>, linear<1>>,
                     loss::non_saturating, optim::adam>;
using oracle = backend::reference<float>;
using source = data::gaussian_mixture;
static_assert(BatchSource<source>, "the data of this test must be data to a worker");

/// A server is made of a topology and a backend, and of nothing that could be data.
template <class S>
concept ServerTypeHasNoData = requires {
  typename S::template server<topology, oracle>;
}
&&!requires { typename S::template server<topology, oracle, source>; };

/// `Server` is made without data, and by none of the ways to hand it some.
template <class Server, class Config>
concept MadeWithoutData = std::constructible_from < Server,
        oracle&, const common_config<topology>
&, const Config&,
    int > &&!std::constructible_from<Server, oracle&, const common_config<topology>&, const Config&,
                                     int, source&> &&
        !std::constructible_from<Server, oracle&, const common_config<topology>&, const Config&,
                                 source&, int> &&
        !std::constructible_from<Server, oracle&, const common_config<topology>&, const Config&,
                                 source&, std::uint32_t>;

/// Nor does what a round calls have a place for data.
template <class Server>
concept RoundTakesNoData = requires(Server& s, comm::any_communicator& c) {
  s.round(c, 0u);
}
&&!requires(Server & s, comm::any_communicator& c, source& d) { s.round(c, 0u, d); }
&&!requires(Server & s, comm::any_communicator& c, source& d) { s.begin(c, d); };

template <class S>
concept ServerWithoutData =
    ServerTypeHasNoData<S> && MadeWithoutData < typename S::template server<topology, oracle>,
typename S::config > &&RoundTakesNoData<typename S::template server<topology, oracle>>;

static_assert(ServerWithoutData<dist::md_gan>, "the server of md_gan must not take data");
static_assert(ServerWithoutData<dist::federated_average>,
              "the server of federated_average must not take data");
static_assert(ServerWithoutData<dist::averaged_discriminator>,
              "the server of averaged_discriminator must not take data");
static_assert(ServerWithoutData<dist::layerwise_overlap>,
              "the server of layerwise_overlap must not take data");
static_assert(ServerWithoutData<dist::label_parallel>,
              "the server of label_parallel must not take data");
static_assert(ServerWithoutData<dist::output_aggregation>,
              "the server of output_aggregation must not take data");

/// What the concept must refuse: a role that is handed a shard, as workers are.
struct holds_a_shard {
  using config = dist::md_gan::config;
  template <Topology T, Backend B>
  struct server {
    server(B& b, const common_config<T>& common, const config& settings, int workers);
    server(B& b, const common_config<T>& common, const config& settings, int workers, source data);
    round_report round(comm::any_communicator& c, std::uint32_t iteration);
    void begin(comm::any_communicator& c);
  };
};
struct is_made_of_a_source : holds_a_shard {
  template <Topology T, Backend B, class Source = source>
  struct server {
    server(B& b, const common_config<T>& common, const config& settings, int workers);
    round_report round(comm::any_communicator& c, std::uint32_t iteration);
    void begin(comm::any_communicator& c);
  };
};
struct reads_in_a_round : holds_a_shard {
  template <Topology T, Backend B>
  struct server {
    server(B& b, const common_config<T>& common, const config& settings, int workers);
    round_report round(comm::any_communicator& c, std::uint32_t iteration);
    round_report round(comm::any_communicator& c, std::uint32_t iteration, source& data);
    void begin(comm::any_communicator& c);
  };
};
static_assert(!ServerWithoutData<holds_a_shard> && !ServerWithoutData<is_made_of_a_source> &&
                  !ServerWithoutData<reads_in_a_round>,
              "a server that can be given data must be found");

}  // namespace
