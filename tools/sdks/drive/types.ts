// What openapi-typescript makes of bodies: what may be left out need not be given.
import type { components } from "./openapi";

type Schemas = components["schemas"];

export const agent: Schemas["CreateAgentRequest"] = {
    name: "teller",
    request_template: {
        messages: [{ role: "user", content: [{ content_type: "text", text: "Hello." }] }],
    },
    variables: [{ name: "topic" }],
};
export const launch: Schemas["LaunchAgentRequest"] = {};
export const message: Schemas["SendMessageRequest"] = {
    message: { content: [{ content_type: "text", text: "Hello." }] },
};
export const skill: Schemas["CreateSkillRequest"] = { name: "s", description: "d", body: "b" };
export const documents: Schemas["ManifestDocuments"][] = ["kind: Dataset", {
    apiVersion: "statewright/v1",
    kind: "Dataset",
    metadata: { name: "d" },
}];
