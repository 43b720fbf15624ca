// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Sockets between the processes of a job. Nothing is encrypted and nobody proves who he is: for a
// network whose machines trust each other.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include "gantry/base/error.hpp"
#include "gantry/comm/health.hpp"

namespace gantry::inline v0::comm {

/// A socket that closes itself.
class tcp_socket {
 public:
  tcp_socket() = default;
  explicit tcp_socket(int handle) : handle_(handle) {}
  tcp_socket(tcp_socket&& other) noexcept : handle_(std::exchange(other.handle_, -1)) {}
  tcp_socket& operator=(tcp_socket&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~tcp_socket() {
    if (handle_ >= 0) static_cast<void>(::close(handle_));
  }
  [[nodiscard]] int get() const { return handle_; }
  [[nodiscard]] explicit operator bool() const { return handle_ >= 0; }

  /// Small messages leave at once.
  void set_prompt() const {
    const int yes = 1;
    static_cast<void>(::setsockopt(handle_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes));
  }
  /// Whether there is something to read, or an end, within so many seconds.
  [[nodiscard]] bool readable_within(double seconds) const {
    pollfd one{handle_, POLLIN, 0};
    return ::poll(&one, 1, static_cast<int>(std::max(0.0, seconds) * 1000)) > 0;
  }
  /// Whether a short message can be written without waiting.
  [[nodiscard]] bool has_room() const {
    pollfd one{handle_, POLLOUT, 0};
    return ::poll(&one, 1, 0) > 0;
  }
  /// @returns false if the other end has closed
  [[nodiscard]] bool read(void* to, std::size_t bytes) const {
    auto* at = static_cast<char*>(to);
    while (bytes > 0) {
      const ssize_t got = ::recv(handle_, at, bytes, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      at += got;
      bytes -= static_cast<std::size_t>(got);
    }
    return true;
  }
  [[nodiscard]] bool write(const void* from, std::size_t bytes) const {
    const auto* at = static_cast<const char*>(from);
    while (bytes > 0) {
      const ssize_t put = ::send(handle_, at, bytes, MSG_NOSIGNAL);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) return false;
      at += put;
      bytes -= static_cast<std::size_t>(put);
    }
    return true;
  }
  /// Ends what another thread waits for here.
  void shut_down() const {
    if (handle_ >= 0) static_cast<void>(::shutdown(handle_, SHUT_RDWR));
  }

 private:
  int handle_{-1};
};

/// Where a process listens.
struct tcp_address {
  std::string host{};
  std::uint16_t port{};
  [[nodiscard]] std::string text() const { return host + ":" + std::to_string(port); }
};

/// Waits for others to connect.
class tcp_listener {
 public:
  /// Port 0 takes one that is free. @throws error if the port is taken
  explicit tcp_listener(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const int yes = 1;
    static_cast<void>(::setsockopt(socket_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes));
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(INADDR_ANY);
    own.sin_port = htons(port);
    socklen_t length = sizeof own;
    auto* address = reinterpret_cast<sockaddr*>(&own);
    if (::bind(socket_.get(), address, length) != 0 || ::listen(socket_.get(), 512) != 0 ||
        ::getsockname(socket_.get(), address, &length) != 0)
      throw error("expected to listen at port " + std::to_string(port) + ", found \"" +
                  std::strerror(errno) + "\"; set MASTER_PORT to one that is free");
    port_ = ntohs(own.sin_port);
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// Who connects within so many seconds, and from which host; nothing if nobody does.
  [[nodiscard]] std::optional<std::pair<tcp_socket, std::string>> accept(double seconds) const {
    if (!socket_.readable_within(seconds)) return std::nullopt;
    sockaddr_in peer{};
    socklen_t length = sizeof peer;
    tcp_socket made(::accept(socket_.get(), reinterpret_cast<sockaddr*>(&peer), &length));
    if (!made) return std::nullopt;
    made.set_prompt();
    std::array<char, NI_MAXHOST> host{};
    static_cast<void>(::getnameinfo(reinterpret_cast<sockaddr*>(&peer), length, host.data(),
                                    host.size(), nullptr, 0, NI_NUMERICHOST));
    return std::pair(std::move(made), std::string(host.data()));
  }

 private:
  tcp_socket socket_;
  std::uint16_t port_{};
};

/// Tries once. An empty socket if nobody listens there, or there is no such host.
inline tcp_socket try_connect(const tcp_address& to) {
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_family = AF_INET;
  wanted.ai_socktype = SOCK_STREAM;
  if (::getaddrinfo(to.host.c_str(), std::to_string(to.port).c_str(), &wanted, &found) != 0)
    return {};
  tcp_socket made(::socket(AF_INET, SOCK_STREAM, 0));
  const bool connected = ::connect(made.get(), found->ai_addr, found->ai_addrlen) == 0;
  ::freeaddrinfo(found);
  if (!connected) return {};
  made.set_prompt();
  return made;
}

/// Tries until it works, or `until` of seconds_now() has passed.
inline tcp_socket connect_until(const tcp_address& to, double until) {
  for (;;) {
    tcp_socket made = try_connect(to);
    if (made || seconds_now() > until) return made;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace gantry::comm
