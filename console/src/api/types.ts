import type { components } from "../../build/api";

type Schemas = components["schemas"];

export type Workload = Schemas["Workload"];
export type Status = Schemas["Status"];
export type AuditEvent = Schemas["AuditEvent"];
export type LiveEvent = Schemas["LiveEvent"];
export type LogLine = Schemas["LogLine"];
export type Worker = Schemas["Worker"];
export type Customer = Schemas["Customer"];
export type CustomerUsage = Schemas["CustomerUsage"];
export type Session = Schemas["Session"];
export type Pagination = Schemas["Pagination"];
export type AdminEvent = Schemas["AdminEvent"];
export type Placement = Schemas["Placement"];
export type PlacementReason = Schemas["PlacementReason"];
export type Checkpoint = Schemas["Checkpoint"];
export type Key = Schemas["Key"];
export type BulkAnswer = Schemas["BulkAnswer"];
export type CustomerStats = Schemas["CustomerStats"];
export type QueueDepth = Schemas["QueueDepth"];
export type TypeDepth = Schemas["TypeDepth"];
export type Unplaceable = Schemas["Unplaceable"];
export type Waited = Schemas["Waited"];
export type SeriesPoint = Schemas["SeriesPoint"];
export type Lane = Schemas["Lane"];
export type Resources = Schemas["Resources"];
export type WorkerResources = Schemas["WorkerResources"];
export type AllocatedResources = Schemas["AllocatedResources"];
export type Tier = Schemas["Tier"];

export const statuses = [
  "PENDING", "SCHEDULED", "RUNNING", "REDISTRIBUTING", "PAUSED", "COMPLETED", "FAILED", "CANCELLED",
] as const satisfies Status[];

export const isFinal = (s: Status) => s === "COMPLETED" || s === "FAILED" || s === "CANCELLED";
