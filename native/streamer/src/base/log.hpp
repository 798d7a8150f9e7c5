#pragma once

#include <concepts>
#include <initializer_list>
#include <string>
#include <string_view>

namespace streamer {

/** One field of a log line; its value is kept as JSON. */
struct LogField {
  std::string_view name;
  std::string json;

  LogField(std::string_view fieldName, std::string_view text);
  LogField(std::string_view fieldName, const char* text) : LogField(fieldName, std::string_view(text)) {}
  LogField(std::string_view fieldName, const std::string& text) : LogField(fieldName, std::string_view(text)) {}
  template <std::integral T>
  LogField(std::string_view fieldName, T number) : name(fieldName), json(std::to_string(number)) {}
};

/** Writes one JSON line to stderr. A full or closed stderr loses the line and nothing else. */
void logInfo(std::string_view message, std::initializer_list<LogField> fields = {});
void logWarn(std::string_view message, std::initializer_list<LogField> fields = {});
void logError(std::string_view message, std::initializer_list<LogField> fields = {});

}  // namespace streamer
