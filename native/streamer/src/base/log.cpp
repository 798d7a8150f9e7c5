#include "base/log.hpp"

#include <unistd.h>

#include "base/json-writer.hpp"
#include "base/time.hpp"

namespace streamer {
namespace {

void write(std::string_view level, std::string_view message, std::initializer_list<LogField> fields) {
  JsonWriter json;
  json.beginObject().field("level", level).field("time", wallClockMs()).field("msg", message);
  for (const LogField& field : fields) json.key(field.name).raw(field.json);
  json.endObject();
  const std::string line = json.text() + "\n";
  // One write per line keeps lines whole; there is nobody to tell when it fails.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

LogField::LogField(std::string_view fieldName, std::string_view text) : name(fieldName) {
  JsonWriter writer;
  writer.value(text);
  json = writer.text();
}

void logInfo(std::string_view message, std::initializer_list<LogField> fields) { write("info", message, fields); }
void logWarn(std::string_view message, std::initializer_list<LogField> fields) { write("warn", message, fields); }
void logError(std::string_view message, std::initializer_list<LogField> fields) { write("error", message, fields); }

}  // namespace streamer
