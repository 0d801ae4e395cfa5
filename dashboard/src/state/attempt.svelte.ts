import { Problem } from "../api/problem";

/** Changes that somebody asks for on a page, and why the last one was not made. */
export class Attempt {
    problem = $state.raw<Problem>();

    /** Try to make one; answers whether it was made. */
    async at(change: () => Promise<unknown>): Promise<boolean> {
        try {
            await change();
            this.problem = undefined;
        } catch (error) {
            this.problem = Problem.from(error);
        }
        return this.problem === undefined;
    }
}
