// A reference that may be null is `allOf` with `nullable` in the documents, which is what generators of clients read as that. To the
// letter of OpenAPI 3.0 it is not, so the lint reads one of the shape and of null instead.
export default function plugin() {
    const nothing = { type: "object", nullable: true, enum: [null] };
    const preprocessor = () => ({
        Schema: {
            enter(schema) {
                if (!schema.nullable || !schema.allOf) return;
                schema.oneOf = [...schema.allOf, { ...nothing }];
                delete schema.allOf;
                delete schema.nullable;
            },
        },
    });
    return { id: "tarn", preprocessors: { oas3: { "nullable-references": preprocessor } } };
}
