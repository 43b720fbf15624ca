// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// What Gantry throws, and the exit code a program ends with. Every message is one sentence that
// says what was expected, what was found and what to do.
#pragma once

#include <stdexcept>
#include <string>

namespace gantry::inline v0 {

/// Exit codes of every Gantry program (documented in README.md; schedulers branch on them).
enum class exit_code : int {
  done = 0,
  failure = 1,          ///< run-time failure, a NaN loss among them
  usage = 2,            ///< unknown flag, bad value, impossible configuration
  refused = 3,          ///< data set or checkpoint refused, or a file that cannot be written
  too_few_workers = 4,  ///< no worker is left to train with
  interrupted = 130,    ///< SIGINT, after saving
  terminated = 143,     ///< SIGTERM, after saving
};

/// Base of all errors thrown by the library; `code()` is the exit code a program should end with.
class error : public std::runtime_error {
 public:
  explicit error(const std::string& sentence, exit_code code = exit_code::failure)
      : std::runtime_error(sentence), code_(code) {}
  [[nodiscard]] exit_code code() const noexcept { return code_; }

 private:
  exit_code code_;
};

/// A configuration that cannot work: batch of 0, unknown name, fewer samples than workers.
class usage_error : public error {
 public:
  explicit usage_error(const std::string& sentence) : error(sentence, exit_code::usage) {}
};

/// A file that is missing, damaged or of the wrong kind.
class data_error : public error {
 public:
  explicit data_error(const std::string& sentence) : error(sentence, exit_code::refused) {}
};

/// Training produced a number that is not finite.
class numeric_error : public error {
 public:
  explicit numeric_error(const std::string& sentence) : error(sentence, exit_code::failure) {}
};

/// Fewer workers are left than the strategy can train with.
class workers_lost : public error {
 public:
  explicit workers_lost(const std::string& sentence)
      : error(sentence, exit_code::too_few_workers) {}
};

/// Another rank of the job has failed; that rank says why, this one only ends.
class rank_failed : public error {
 public:
  explicit rank_failed(const std::string& sentence) : error(sentence, exit_code::failure) {}
};

/// A call of a device's runtime that failed: which one, the runtime's name of the failure, its
/// reason, and the op and shapes that were being computed, where that is known.
class device_error : public error {
 public:
  device_error(const std::string& call, const std::string& name, const std::string& reason,
               const std::string& work = {})
      : error(call + " failed" + (work.empty() ? "" : " in " + work) + ": " + reason + " (" + name +
              ")."),
        call_(call),
        name_(name),
        reason_(reason),
        work_(work) {}
  /// The same failure, of which more is known.
  [[nodiscard]] device_error during(const std::string& work) const {
    return {call_, name_, reason_, work};
  }
  [[nodiscard]] const std::string& call() const noexcept { return call_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const std::string& reason() const noexcept { return reason_; }
  [[nodiscard]] const std::string& work() const noexcept { return work_; }

 private:
  std::string call_, name_, reason_, work_;
};

/// Checks a condition that a caller controls; kept in every build. @throws usage_error
inline void expects(bool condition, const char* sentence) {
  if (!condition) throw usage_error(sentence);
}

}  // namespace gantry
