// The same words for times as the server's: see apps/console/formatting.py.
const seconds = (from, to) => Math.max((to - from) / 1000, 0);

export function ago(stamp) {
  const s = Math.floor(seconds(Date.parse(stamp), Date.now()));
  if (s < 10) return "now";
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  return s < 86400 ? `${Math.floor(s / 3600)} h ago` : `${Math.floor(s / 86400)} d ago`;
}

export function duration(s) {
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${s.toFixed(1)} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return `${minutes} m ${String(Math.floor(s % 60)).padStart(2, "0")} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${String(minutes % 60).padStart(2, "0")} m` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export const elapsed = (stamp) => duration(seconds(Date.parse(stamp), Date.now()));
export const left = (stamp) => { const s = seconds(Date.now(), Date.parse(stamp)); return s ? `${duration(Math.max(s, 1))} left` : "expired"; };
